"""`attnaudit policy show`: the thresholds and severities in force, inherited defaults included."""

import click

from audit import policy as policies


@click.group()
def policy() -> None:
    """Show the thresholds and severities in force."""


@policy.command()
@click.argument("name", required=False)
def show(name: str | None) -> int:
    """Print the policy NAME (a shipped one or a TOML file; default: `default`) as TOML, defaults filled in."""
    found = policies.load(name)
    lines = [f'name = "{found.name}"', f"required = [{', '.join(repr(rule) for rule in found.required)}]"]
    lines += ["", "[severity]", *(f'{rule} = "{level}"' for rule, level in sorted(found.severity.items()))]
    for rule, table in sorted(found.thresholds.items()):
        lines += ["", f"[thresholds.{rule}]", *(f"{key} = {value:g}" for key, value in sorted(table.items()))]
    for waiver in found.waivers:
        lines += ["", "[[waivers]]", *(f'{key} = "{value}"' for key, value in waiver.items())]
    click.echo("\n".join(lines))
    return 0
