"""`attnaudit compare`: two audits, with the significance of each change."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import click
import msgspec

from audit import store
from audit.compare.comparing import compare as compared
from audit.compare.records import Comparison
from audit.errors import UnusableInput
from audit.report.comparison import (
    aligned_in_words,
    changes_of,
    headline,
    html_of,
    pdf_of,
    place_of,
    states,
    title_of,
)
from audit.report.shelf import COMPARISONS
from audit.report.shelving import shelve

_Record = TypeVar("_Record")
_SHOWN = 3  # changes of each metric
_METRICS = 12
REGRESSION = 1


def as_json(record: Any) -> bytes:
    """A record as indented JSON, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


FORMS: Final[Mapping[str, Callable[[Comparison], bytes]]] = MappingProxyType(
    {".html": html_of, ".pdf": pdf_of, ".json": as_json}
)


def refuse_unknown_form(path: Path) -> None:
    """Raise UnusableInput where nothing is known that ends like `path`."""
    if path.suffix.lower() not in FORMS:
        raise UnusableInput(f"-o {str(path)!r} is of no form known here: end it in {', '.join(FORMS)}")


def write(found: _Record, outputs: Sequence[Path], forms: Mapping[str, Callable[[_Record], bytes]]) -> None:
    """Write what was found in each form asked for; what stands in a store's `comparisons` is listed on its front page."""
    for path in outputs:
        with store.faults_of_the_disk(path):
            if path.parent.name == COMPARISONS:
                path.parent.mkdir(exist_ok=True)
            path.write_bytes(forms[path.suffix.lower()](found))
    for folder in {path.parent for path in outputs if path.parent.name == COMPARISONS}:
        if store.published(folder.parent):
            shelve(folder.parent)


outputs = click.option(
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Repeatable: .html, .pdf or .json.",
)


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@outputs
@click.option("--json", "json_only", is_flag=True, help="Print JSON and nothing else.")
def compare(before: Path, after: Path, *, outputs: tuple[Path, ...], json_only: bool) -> int:
    """Hold the audit in folder AFTER against that in BEFORE: findings, heads and layers, with how sure each change is.

    Exit codes: 1 for a regression (a finding of severity fail that is new or was milder, or a worse verdict), 3 where
    the two are not comparable, 0 otherwise.
    """
    for path in outputs:
        refuse_unknown_form(path)
    found = compared(before, after)
    write(found, outputs, FORMS)
    if json_only:
        click.echo(as_json(found), nl=False)
    else:
        click.echo("\n".join([*_lines(found), *(f"report     {path}" for path in outputs)]))
    return REGRESSION if found.regressions else 0


def _lines(found: Comparison) -> list[str]:
    """What matters, one fact a line."""
    lines = [
        f"before     {found.before.audit_id}  {found.before.path}",
        f"after      {found.after.audit_id}  {found.after.path}",
        f"result     {headline(found)}",
        *(f"regression {line}" for line in found.regressions),
        f"verdict    {found.before.verdict} before, {found.after.verdict} after",
        f"layers     {aligned_in_words(found.alignment)}",
        f"findings   {states(found)}",
    ]
    for change in (each for each in found.findings if each.state != "unchanged"):
        note = f" ({change.note})" if change.note else ""
        lines.append(f"  {change.state:8} {change.after or change.before:5}  {change.statement}{note}")
    lines.append(
        f"changed    {found.changed:,} of {found.tested:,} heads and layers over all metrics (q <= 0.05, paired texts)"
    )
    lines += _changes(found)
    return [*lines, *(f"note       {remark}" for remark in found.remarks)]


def _changes(found: Comparison) -> list[str]:
    """The surest changes of the metrics that changed most."""
    several = [
        (len(each.changed) / each.cells, metric, probe, each)
        for metric, by_probe in found.differences.items()
        for probe, each in by_probe.items()
        if each.changed
    ]
    several.sort(key=lambda each: (-each[0], each[1:3]))
    lines = []
    for _, metric, probe, difference in several[:_METRICS]:
        lines.append(
            f"  {title_of(found, metric)} on {probe}: {len(difference.changed)} of {difference.cells} changed"
        )
        for pair, head, before, after, change, q in list(changes_of(difference))[:_SHOWN]:
            lines.append(
                f"    {place_of(found.alignment, pair, head)}: {before} -> {after}, change {change}, q {q}"
            )
    if len(several) > _METRICS:
        lines.append(
            f"  and {len(several) - _METRICS} more metrics and probes; --json or -o FILE has them all"
        )
    return lines
