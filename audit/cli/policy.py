"""`attnaudit policy show`: the thresholds and severities in force, inherited defaults included."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from audit import policy as policies
from audit.policy import Policy


@click.group()
def policy() -> None:
    """Show the thresholds and severities in force."""


@policy.command()
@click.argument("name", required=False)
def show(name: str | None) -> int:
    """Print the policy NAME (a shipped one or a TOML file; default: `default`) as TOML, all that it inherits filled in.

    Beside what it sets otherwise stands what it would have inherited.
    """
    found = policies.load(name)
    click.echo("\n".join(_lines(found, policies.load(found.inherits))))
    return 0


def _lines(found: Policy, base: Policy) -> Iterator[str]:
    yield f"name = {_toml(found.name)}"
    if found.inherits:
        yield f"inherits = {_toml(found.inherits)}"
    if found.classification:
        yield f"classification = {_toml(found.classification)}"
    yield from _table({"required": found.required}, {"required": base.required})
    yield from ("", "[coverage]", *_table(asdict(found.coverage), asdict(base.coverage)))
    yield from ("", "[severity]", *_table(found.severity, base.severity))
    for rule, table in sorted(found.thresholds.items()):
        yield from ("", f"[thresholds.{rule}]", *_table(table, base.thresholds[rule]))
    today = dt.datetime.now(dt.UTC).date()
    for waiver in found.waivers:
        state = "" if policies.in_force(waiver, today) else "  # expired: counts as none"
        yield from ("", f"[[waivers]]{state}", *(f"{key} = {_toml(value)}" for key, value in waiver.items()))


def _table(values: Mapping[str, Any], inherited: Mapping[str, Any]) -> Iterator[str]:
    for key, value in sorted(values.items()):
        note = "" if value == inherited[key] else f"  # inherited: {_toml(inherited[key])}"
        yield f"{key} = {_toml(value)}{note}"


def _toml(value: Any) -> str:
    """A value as TOML, whose basic strings and lists are those of JSON but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
