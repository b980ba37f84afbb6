"""`attnaudit trend`: a series of audits, with the significance of each change."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from audit.cli.compare import as_json, outputs, refuse_unknown_form, write
from audit.compare.records import Trend
from audit.compare.trend import trend as followed
from audit.report.comparison import chance
from audit.report.trend import headline, html_of, pdf_of, seen_at, title_of, turns_of
from audit.report.trend_warnings import drift_table
from audit.report.wording import estimate

_TURNS = 20
WARNED: Final = 1
FORMS: Final[Mapping[str, Callable[[Trend], bytes]]] = MappingProxyType(
    {".html": html_of, ".pdf": pdf_of, ".json": as_json}
)


@click.command()
@click.argument(
    "audit_dirs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="AUDIT_DIR..."
)
@outputs
@click.option("--json", "json_only", is_flag=True, help="Print JSON and nothing else.")
def trend(audit_dirs: tuple[Path, ...], *, outputs: tuple[Path, ...], json_only: bool) -> int:
    """Follow a series of audits, in the order given: when findings appear, where metrics turn, what is to be warned of.

    Exit codes: 1 where the series warns of a collapse, 3 where the audits are not comparable, 0 otherwise.
    """
    for path in outputs:
        refuse_unknown_form(path)
    found = followed(audit_dirs)
    write(found, outputs, FORMS)
    if json_only:
        click.echo(as_json(found), nl=False)
    else:
        click.echo("\n".join([*lines(found), *(f"report    {path}" for path in outputs)]))
    return WARNED if found.warnings else 0


def lines(found: Trend) -> list[str]:
    """What matters, one fact a line."""
    wide = max(len(step.label) for step in found.steps)
    lines = [f"result    {headline(found)}"]
    for warning in found.warnings:
        lines += [f"warning   {warning.statement}", f"          {warning.why}"]
    lines += [
        f"audit     {step.label:{wide}}  {step.side.verdict:12}  {step.side.audit_id}" for step in found.steps
    ]
    lines += _drift(found)
    for finding in sorted(found.findings, key=lambda each: each.first):
        seen = seen_at(found, finding)
        lines.append(f"finding   {finding.statement}")
        lines.append(f"          {seen if all(finding.severities) else f'at {seen}'}")
    turns = turns_of(found)
    for metric, probe, _, turn in turns[:_TURNS]:
        change = estimate(turn.difference, turn.low, turn.high)
        lines.append(
            f"turn      at {found.steps[turn.step].label}: mean {title_of(found, metric)} on {probe} {change}, q {chance(turn.q)}"
        )
    if len(turns) > _TURNS:
        lines.append(f"          and {len(turns) - _TURNS} more; --json or -o FILE has them all")
    return [*lines, *(f"note      {remark}" for remark in found.remarks)]


def _drift(found: Trend) -> list[str]:
    """Its table, a line for each checkpoint under a line of heads."""
    table = drift_table(found)
    if table is None:
        return []
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    return [
        f"drift     {'  '.join(f'{cell:{width}}' for cell, width in zip(row, widths, strict=True)).rstrip()}"
        for row in (table.head, *table.rows)
    ]
