"""What the model could do without: what taking things out cost, and the drop curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.report import redundancy_charts as charts
from audit.report.blocks import Figure, Medium, Row, Table
from audit.report.digest import STEPS
from audit.report.drawing import vector
from audit.report.findings import CONFIRMATION, finding_anchor
from audit.report.likeness import likeness
from audit.report.places import place
from audit.report.ranks import ranks
from audit.report.redundancy_blocks import Ablations, Curve, RedundancyBlock, Trial
from audit.report.wording import counted, estimate, number, sentence
from audit.results import Ablation, Audit, Confirmation, Finding
from audit.results.redundancy import DropCurve, Kind, Saved

_KINDS: dict[Kind, str] = {"blocks": "Blocks", "attention": "Attention sublayers"}
_REPLACED = {
    "mean": "held at its mean over other texts",
    "zero": "silenced",
    "uniform": "attends to all tokens alike",
    "identity": "attends to its own token only",
    "skip": "taken out",
}


def redundancy(audit: Audit, folder: Path, *, medium: Medium, shown: Sequence[Finding]) -> RedundancyBlock:
    """The whole section; `shown` are the findings that the page has in full."""
    anchors = {finding.id: finding_anchor(finding) for finding in shown}
    note = "" if audit.drop_curves else "Measured from depth standard on, unless ablation is switched off."
    return RedundancyBlock(
        ablations=_ablations(audit, anchors),
        curves=tuple(_curve(curve, medium=medium) for curve in audit.drop_curves),
        curves_note=note,
        ranks=ranks(audit, medium=medium),
        likeness=likeness(audit, folder, medium=medium),
    )


def _ablations(audit: Audit, anchors: Mapping[str, str]) -> Ablations:
    tried = [(f, f.confirmation) for f in audit.findings if "effect" in f.confirmation.details]
    matter = [finding for finding, said in tried if said.details.get("matters")]
    together = audit.ablation.together if audit.ablation else None
    return Ablations(
        facts=_facts(audit.ablation) if audit.ablation else (),
        trials=(
            *(trial for finding, said in tried for trial in _trials(audit, finding, said, anchors)),
            *([_together(together, audit.ablation)] if together and audit.ablation else []),
        ),
        matter=tuple(
            Row(
                label=place(audit.coverage, f.layer, f.head).capitalize(),
                text=sentence(f.statement),
                target=anchors.get(f.id, ""),
            )
            for f in matter
        ),
        left_out=audit.ablation.left_out if audit.ablation else (),
        note="" if tried else _why_nothing(audit),
    )


def _why_nothing(audit: Audit) -> str:
    reasons = {f.confirmation.reason for f in audit.findings if f.confirmation.status == "not_attempted"}
    if reasons and audit.ablation is not None:
        return sentence(f"nothing was taken out: {'; '.join(sorted(reasons))}")
    if not audit.drop_curves:
        return "Nothing was taken out: ablation begins at depth standard, and can be switched off."
    return "Nothing was taken out, for no finding asks for it."


def _facts(ablation: Ablation) -> tuple[Row, ...]:
    if ablation.measure is None or ablation.margin is None:
        return ()
    rows = [
        Row(label="Measured by", text=sentence(_measured_by(ablation.measure, ablation.unit))),
        Row(label="Unchanged", text=_level(ablation)),
        Row(label="Margin", text=f"{number(ablation.margin)}: a harmless change is surely smaller."),
        Row(label="Texts", text=f"{counted(ablation.documents, 'document')} on which no finding rests."),
        Row(label="Cost", text=f"{number(ablation.passes)} plain passes over these texts."),
    ]
    if ablation.rounding is not None:
        text = f"{number(ablation.rounding)}: what rounding all weights to bfloat16 does by itself."
        rows.append(Row(label="Yardstick", text=text))
    return tuple(rows)


def _measured_by(measure: str, unit: str | None) -> str:
    """A measure with what it is counted in."""
    return f"{measure}, {'as a share' if _is_share(unit) else 'in'} {unit}"


def _level(ablation: Ablation) -> str:
    """The level of the unchanged model, with what it is a level of."""
    level, unit = number(ablation.level or 0.0, 4), ablation.unit or ""
    return f"{level}: {unit.removeprefix('of ')}." if _is_share(unit) else f"{level} {unit}."


def _is_share(unit: str | None) -> bool:
    return unit is not None and unit.startswith("of ")


def _trials(audit: Audit, finding: Finding, said: Confirmation, anchors: Mapping[str, str]) -> list[Trial]:
    """The replacement that decided, and those shown beside it."""
    details, where = said.details, place(audit.coverage, finding.layer, finding.head).capitalize()
    words = CONFIRMATION[said.status] + ("; better without" if details.get("gain") else "")
    first = Trial(
        subject=where,
        target=anchors.get(finding.id, ""),
        replacement=_REPLACED.get(details["replacement"], details["replacement"]),
        effect=_effect(details),
        documents=str(details["n"]),
        decision=words,
    )
    others = [
        Trial(
            subject="",
            target="",
            replacement=_REPLACED.get(name, name),
            effect=_effect(cost),
            documents=str(cost["n"]),
            decision="",
        )
        for name, cost in details.get("others", {}).items()
    ]
    return [first, *others]


def _together(cost: Mapping[str, Any], ablation: Ablation) -> Trial:
    high, margin = cost.get("high"), ablation.margin
    inside = high is not None and margin is not None and high < margin
    return Trial(
        subject="All that was confirmed",
        target="",
        replacement="at once",
        effect=_effect(cost),
        documents=str(cost["n"]),
        decision="Inside the margin" if inside else "Not inside the margin",
    )


def _effect(cost: Mapping[str, Any]) -> str:
    if cost["effect"] is None:
        return "not finite"
    return estimate(cost["effect"], cost["low"], cost["high"])


def _curve(curve: DropCurve, *, medium: Medium) -> Curve:
    title = _KINDS[curve.kind]
    if curve.absent is not None or not curve.steps or curve.margin is None:
        reason = sentence(f"not measured: {curve.absent or 'no part could be left out'}")
        return Curve(title=title, summary=reason, figure=None, table=None)
    drops = [charts.Drop(step.dropped, step.effect, step.low, step.high) for step in curve.steps]
    summary = _summary(curve)
    figure = Figure(
        picture=vector(
            charts.drop_curve(drops, margin=curve.margin, parts=title.lower()),
            dark=medium == "screen",
        ),
        alt=f"{curve.measure} against {title.lower()} left out: {summary}",
        captions=(
            Row(
                label=f"{curve.steps[0].n} documents",
                text=f"{sentence(_measured_by(curve.measure or '', curve.unit))} Bars are 95% intervals, the dashed "
                f"line is the margin of {number(curve.margin)}.",
            ),
        ),
        table=None,
    )
    return Curve(title=title, summary=summary, figure=figure, table=_table(curve, STEPS[medium]))


def _summary(curve: DropCurve) -> str:
    chosen = (
        f"They go in the order of {curve.metric.replace('_', ' ')}, the least first, measured on other texts."
    )
    parts = _KINDS[curve.kind].lower()
    if curve.harmless:
        saved = curve.steps[curve.harmless - 1].saved
        share = f", {saved.parameters_share:.1%} of the parameters" if saved.parameters_share else ""
        return f"The first {curve.harmless} of {curve.of} {parts} can go inside the margin{share}. {chosen}"
    undecided = curve.steps[0].harmless is None
    first = "has too few documents to be judged" if undecided else "is not surely inside the margin"
    return f"None of {curve.of} {parts} can go for certain: leaving out the first {first}. {chosen}"


def _table(curve: DropCurve, most: int) -> Table:
    steps = curve.steps if len(curve.steps) <= most else (*curve.steps[: most - 1], curve.steps[-1])
    return Table(
        head=(
            "Left out",
            "Last: layer",
            "Cost",
            "Inside margin",
            "Parameters",
            "FLOPs",
            "KV cache",
        ),
        rows=tuple(
            (
                str(step.dropped),
                str(step.layer),
                "not finite" if step.effect is None else estimate(step.effect, step.low, step.high),
                "too few documents" if step.harmless is None else "yes" if step.harmless else "no",
                *_savings(step.saved),
            )
            for step in steps
        ),
    )


def _savings(saved: Saved) -> tuple[str, str, str]:
    cache = saved.cache_bytes_per_token
    kept = "none kept" if cache is None else f"-{_percent(saved.cache_share)} ({number(cache)} bytes a token)"
    return (
        f"-{_percent(saved.parameters_share)} ({saved.parameters:,})",
        f"-{_percent(saved.flops_share)}",
        kept,
    )


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.1%}"
