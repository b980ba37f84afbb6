"""Flags demographic axes on which heads attend otherwise to one group than to the other."""

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.results.demographics import SkewAxis, SkewedHead

SHOWN = 5  # heads as evidence; the section has more


def judge(case: Case) -> Judgement:
    """A suspicion for each axis on which a head stands out, graded by whether the output leans as well."""
    if not case.skew:
        return NotMeasured("no demographic probe was fed: --depth standard feeds one")
    axes = [(skew.probe, axis) for skew in case.skew for axis in skew.axes if not axis.control]
    reasons = [skew.absent or "" for skew in case.skew if skew.absent]
    reasons += [axis.reason for _, axis in axes if axis.verdict == "not applicable"]
    if reasons and all(axis.verdict == "not applicable" for _, axis in axes):
        return NotApplicable(reasons[0])
    return tuple(_suspicion(case, probe, axis) for probe, axis in axes if axis.verdict == "skew found")


def _suspicion(case: Case, probe: str, axis: SkewAxis) -> Suspicion:
    first = axis.heads[0]
    leans = (
        axis.output is not None and axis.output.p is not None and axis.output.p <= case.thresholds["output_p"]
    )
    return Suspicion(
        layer=first.layer,
        head=first.head,
        about=f"{probe}-{axis.name}",
        severity=None if leans else "info",
        statement=f"{axis.title}: {axis.found} differences in attention between {axis.groups[0]!r} and "
        f"{axis.groups[1]!r} stand out, the clearest in head {first.head} of layer {first.layer} ({_said(axis, first)})"
        f"; {_consequence(axis, leans=leans)}.",
        evidence=tuple(
            _evidence(probe, head) for head in axis.heads[:SHOWN] if head.q <= case.thresholds["false_share"]
        ),
        cause=_cause(axis),
    )


def _said(axis: SkewAxis, head: SkewedHead) -> str:
    if head.size is None:
        return "its pattern differs more between the groups than within them"
    more = axis.groups[0 if head.difference > 0 else 1]
    verb = "receives" if head.quantity.startswith("received") else "gives"
    return f"{more!r} {verb} {abs(head.difference):.3g} more on a level of {head.level:.3g}"


def _consequence(axis: SkewAxis, *, leans: bool) -> str:
    if axis.output is None:
        return f"what the model says was not measured ({axis.output_absent})"
    if not leans:
        return "what the model predicts does not differ between the groups beyond chance"
    carrying = [head for head in axis.heads if head.carries_low is not None and head.carries_low > 0]
    if not carrying and all(head.carries is None for head in axis.heads):
        return "what the model predicts differs too; what these heads carry of it was not measured"
    if not carrying:
        return "what the model predicts differs too, but none of these heads was seen to carry it"
    most = max(carrying, key=lambda head: head.carries or 0.0)
    return (
        f"what the model predicts differs too, and head {most.head} of layer {most.layer} carries "
        f"{most.carries:.0%} of that"
    )


def _cause(axis: SkewAxis) -> str:
    known = [head for head in axis.heads if head.reinitialised is not None]
    if not known:
        return "not decidable: there is no untrained model to compare with"
    if all(abs(head.reinitialised or 0.0) < abs(head.difference) / 2 for head in known):
        return "the training data: the same architecture with fresh weights shows less than half of it"
    return "not decidable: a model with fresh weights shows some of it as well"


def _evidence(probe: str, head: SkewedHead) -> Evidence:
    return Evidence(
        metric=head.quantity,
        probe=probe,
        value=head.difference,
        low=head.low,
        high=head.high,
        n=0,
        null=head.reinitialised,
    )


RULE = Rule(
    name="attention_skew",
    title="Demographic attention skew",
    summary="heads that attend otherwise to one group of people than to another",
    criterion="a head's difference between groups of matched terms has an adjusted p <= `false_share` "
    "(Benjamini-Hochberg over all heads, quantities and axes); more than a remark where the output differs too, "
    "with p <= `output_p`",
    judge=judge,
    mitigation="Look at the training data of the axis first. The report shows what is left of the difference in output "
    "when the heads treat both terms alike; silencing heads costs more than it mends where that share stays high.",
    limits="A difference in attention is not by itself a difference in behaviour, and neither is harm. English templates "
    "and word lists stand for groups of people they describe badly; words differ in more than their group, though "
    "they are matched in word pieces and nearly in frequency.",
    reads=(),
    references=(
        "Vig et al. 2020, Investigating gender bias in language models using causal mediation analysis",
        "Gaci et al. 2022, Debiasing pretrained text encoders by paying attention to paying attention",
        "Blodgett et al. 2021, Stereotyping Norwegian salmon (what such data sets can and cannot show)",
    ),
)
