"""Ranks of attention by the published protocol, beside the figures they are to be compared with."""

from audit.report.blocks import Medium, Row, Table
from audit.report.cells import cells_of, why_absent
from audit.report.digest import RANKED
from audit.report.redundancy_blocks import Ranks
from audit.report.wording import number, sentence
from audit.results import Audit, Measurement

_NAMES = ("max_rank_100", "average_rank_100", "mass_columns_100")


def ranks(audit: Audit, *, medium: Medium) -> Ranks | None:
    """A row per layer, and what the paper found; None where none of these metrics was asked for."""
    found = {name: _measured(audit, name) for name in _NAMES if name in audit.measurements}
    known = {name: each for name, each in found.items() if each is not None}
    if not found:
        return None
    published = tuple(
        Row(label=audit.methods[name].title, text=audit.methods[name].healthy)
        for name in found
        if name in audit.methods
    )
    if not known:
        reasons = {m.absent or "" for name in found for m in audit.measurements[name].values()}
        why = "; ".join(sorted(reasons - {""})) or "there was no text"
        return Ranks(summary=sentence(f"not measured: {why}"), table=None, published=())
    first = next(iter(known.values()))
    whole = len(audit.coverage.layers) <= RANKED[medium]
    return Ranks(
        summary=sentence(why_absent(first).split("; ", 1)[-1])
        + ("" if whole else " Drawn under Depth; the numbers are in the HTML report."),
        table=_table(audit, known) if whole else None,
        published=published,
    )


def _measured(audit: Audit, name: str) -> Measurement | None:
    return next((m for m in audit.measurements[name].values() if m.value is not None), None)


def _table(audit: Audit, known: dict[str, Measurement]) -> Table:
    titles = [audit.methods[name].title if name in audit.methods else name for name in known]
    columns = [{c.layer: c.value for c in cells_of(m)} for m in known.values()]
    return Table(
        head=("Layer", *titles),
        rows=tuple(
            (str(layer), *(_number(column.get(layer)) for column in columns))
            for layer in range(len(audit.coverage.layers))
        ),
    )


def _number(value: float | None) -> str:
    return "not measured" if value is None else number(value)
