"""What the nulls of an audit are, how they are made, and what they cannot tell."""

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

from audit.report.blocks import MethodBlock, Row
from audit.report.cells import cells_of
from audit.report.wording import anchor, number, sentence
from audit.results import Audit, Measurement, Null


class _Kind(NamedTuple):
    title: str
    formula: str
    source: str
    limits: str


_OWN = _Kind(
    title="The model's own",
    formula="median, 5% and 95% quantile of the metric over the model",
    source="the checkpoint itself; Sandoval-Segura et al., arXiv 2504.03889 judge heads by such quantiles",
    limits="Part of every distribution is its tail: no rule flags by it alone.",
)
_KINDS: Mapping[str, _Kind] = {
    "random_scores": _Kind(
        title="Random scores",
        formula="metric of softmax(s z), z ~ N(0, 1) for each query and key, s = score_spread of the head, same mask",
        source="random queries and keys on many dimensions give Gaussian scores (central limit theorem)",
        limits="Scores of trained heads are not Gaussian; the null has their spread and nothing of their shape.",
    ),
    "reinitialised": _Kind(
        title="Re-initialised",
        formula="quantiles over heads of the metric, weights drawn anew as the configuration says",
        source="the architecture's own initialisation in transformers",
        limits="Tells 'like untrained' and nothing else: a good head may look untrained.",
    ),
    "other_heads": _OWN._replace(title="The model's other heads"),
    "other_layers": _OWN._replace(title="The model's other layers"),
}


def nulls(audit: Audit) -> tuple[MethodBlock, ...]:
    """Every null of the audit with what it reads for each metric."""
    kinds: dict[str, dict[str, Null]] = {}
    for metric, by_name in audit.nulls.items():
        for name, null in by_name.items():
            kinds.setdefault(name, {})[metric] = null
    return tuple(_block(name, found) for name, found in sorted(kinds.items()))


def _block(name: str, found: Mapping[str, Null]) -> MethodBlock:
    kind = _KINDS.get(name, _Kind(name.replace("_", " ").capitalize(), "", "", ""))
    absent = {null.absent for null in found.values() if null.absent}
    rows = (
        Row(label="Reads", text="; ".join(_read(metric, null) for metric, null in sorted(found.items()))),
        Row(label="Absent", text=sentence("; ".join(sorted(absent))) if absent else ""),
        Row(label="Source", text=kind.source),
        Row(label="Limits", text=kind.limits),
    )
    return MethodBlock(
        anchor=anchor("null", name),
        title=kind.title,
        name=name,
        summary=sentence(next(iter(found.values())).how),
        formula=kind.formula,
        rows=tuple(row for row in rows if row.text),
    )


def _read(metric: str, null: Null) -> str:
    """The median over its cells, and how far they reach."""
    known = [c.value for c in cells_of(Measurement(value=null.value)) if c.value is not None]
    if not known:
        return f"{metric} absent"
    low, high = (null.low, null.high) if isinstance(null.low, float) else (min(known), max(known))
    reach = f" [{number(low)}, {number(high)}]" if isinstance(high, float) else ""
    return f"{metric} {number(median(known))}{reach}"
