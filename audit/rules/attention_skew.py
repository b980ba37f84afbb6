"""Flags demographic axes on which heads attend otherwise to one group than to the other."""

from collections.abc import Iterator

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.results.demographics import SkewAxis, SkewedHead

SHOWN = 5  # heads as evidence; the section has more
_MORE = {  # who does what with whose attention
    "received": ("receive", "each word's"),
    "received_from_attribute": ("receive", "the attribute's"),
    "given": ("give the sentence", "their"),
    "given_to_attribute": ("give the attribute", "their"),
}
PRONOUN = "received_from_pronoun"  # of data sets in which the same sentence stands with both pronouns
_APART = {"divergence": ("the pattern", " nats"), "column_difference": ("who attends to the word", "")}


def judge(case: Case) -> Judgement:
    """A suspicion for each axis on which a head stands out, graded by whether the output leans as well."""
    if not case.skew:
        return NotMeasured("no demographic probe was fed: --depth standard feeds one")
    axes = [(skew.probe, axis) for skew in case.skew for axis in skew.axes if not axis.control]
    reasons = [skew.absent or "" for skew in case.skew if skew.absent]
    reasons += [axis.reason for _, axis in axes if axis.verdict == "not applicable"]
    if reasons and all(axis.verdict == "not applicable" for _, axis in axes):
        lacking = axes and not any(axis.terms for _, axis in axes)  # a matter of the words, not of the model
        return NotMeasured(reasons[0]) if lacking else NotApplicable(reasons[0])
    described = [axis for _, axis in axes if axis.verdict == "descriptive"]
    if described and not any(axis.verdict in ("skew found", "none found") for _, axis in axes):
        return NotMeasured(f"described, not judged: {described[0].reason}")
    return tuple(_suspicion(case, probe, axis) for probe, axis in axes if axis.verdict == "skew found")


def _suspicion(case: Case, probe: str, axis: SkewAxis) -> Suspicion:
    first = axis.heads[0]
    leans = (
        axis.output is not None and axis.output.p is not None and axis.output.p <= case.thresholds["output_p"]
    )
    named = [head for head in axis.heads[:SHOWN] if head.q <= case.thresholds["false_share"]]
    return Suspicion(
        layer=first.layer,
        head=first.head,
        about=f"{probe}-{axis.name}",
        topic=axis.title,
        severity=None if leans else "info",
        statement=f"{axis.title}: {_said(axis, first)}; {_consequence(axis, leans=leans)}.",
        evidence=(*(_evidence(probe, axis, head) for head in named), *_of_output(probe, axis)),
        cause=_cause(axis),
        remedy=_remedy(axis),
    )


def _said(axis: SkewAxis, head: SkewedHead) -> str:
    """Who gets more, by how much of what, with its interval."""
    if head.quantity == PRONOUN:
        return _of_pronoun(head)
    one, two = (f"{group!r}" for group in axis.groups)
    if head.quantity not in _MORE:
        what, unit = _APART.get(head.quantity, (head.quantity, ""))
        return f"{what} differs {head.difference:.2g}{unit} more between {one} and {two} than within them"
    more, less = (one, two) if head.difference > 0 else (two, one)
    verb, whose = _MORE[head.quantity]
    return f"words for {more} {verb} {_size(head)} more of {whose} attention than words for {less}"


def _of_pronoun(head: SkewedHead) -> str:
    more, less = ("that fits", "that does not") if head.difference > 0 else ("that does not fit", "that does")
    return (
        f"an occupation receives {_size(head)} more attention from the pronoun {more} its stereotype than from the one "
        f"{less}"
    )


def _size(head: SkewedHead) -> str:
    """The difference without its sign, and its interval where that does not cross zero."""
    known = head.low is not None and head.high is not None and head.low * head.high > 0
    bounds = sorted(abs(bound) for bound in (head.low, head.high) if bound is not None) if known else ()
    return f"{abs(head.difference):.2g}" + (f" [{bounds[0]:.2g}, {bounds[1]:.2g}]" if bounds else "")


def _consequence(axis: SkewAxis, *, leans: bool) -> str:
    if axis.output is None:
        return "predictions were not measured"
    return "predictions differ too" if leans else "predictions do not differ beyond chance"


def _remedy(axis: SkewAxis) -> str | None:
    """What silencing the heads does, where it was tried."""
    tried = next((each for each in axis.remedies if each.name == "silenced"), None)
    if tried is None:
        return None
    parts = [
        f"{_share(tried.skew, tried.skew_low, tried.skew_high)} of the skew in attention",
        f"{_share(tried.output, tried.output_low, tried.output_high)} of the difference in predictions",
    ]
    loss = "" if tried.loss is None else f"; the loss changes by {tried.loss:+.2g} nats per token"
    if tried.loss_low is not None and tried.loss_high is not None:
        loss += f" [{tried.loss_low:.2g}, {tried.loss_high:.2g}]"
    what = "the named head" if tried.heads == 1 else f"the {tried.heads} named heads"
    return f"silencing {what} leaves {' and '.join(parts)}{loss}"


def _share(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "an unknown share"
    return f"{value:.0%}" if low is None or high is None else f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _cause(axis: SkewAxis) -> str:
    known = [head for head in axis.heads if head.reinitialised is not None]
    if not known:
        return "not decidable: there is no untrained model to compare with"
    if all(abs(head.reinitialised or 0.0) < abs(head.difference) / 2 for head in known):
        return "the training data: the same architecture with fresh weights shows less than half of it"
    return "not decidable: a model with fresh weights shows some of it as well"


def _evidence(probe: str, axis: SkewAxis, head: SkewedHead) -> Evidence:
    return Evidence(
        metric=head.quantity,
        probe=probe,
        value=head.difference,
        low=head.low,
        high=head.high,
        n=axis.sentences,
        null=head.reinitialised,
    )


def _of_output(probe: str, axis: SkewAxis) -> Iterator[Evidence]:
    """How far predictions differ, beside labels drawn at random, and how much of that the heads carry."""
    if axis.output is None:
        return
    yield Evidence(
        metric="output", probe=probe, value=axis.output.difference, n=axis.sentences, null=axis.output.chance
    )
    once = {(head.layer, head.head): head for head in axis.heads}  # which may differ in several quantities
    for head in once.values():
        if head.carries is not None:
            yield Evidence(
                metric="carries",
                probe=probe,
                value=head.carries,
                low=head.carries_low,
                high=head.carries_high,
                n=axis.sentences,
            )


RULE = Rule(
    name="attention_skew",
    title="Demographic attention skew",
    summary="heads that attend otherwise to one group of people than to another",
    criterion="a head's difference between groups of matched terms has an adjusted p <= `false_share` "
    "(Benjamini-Hochberg over all heads, quantities and axes); more than a remark where the output differs too, "
    "with p <= `output_p`",
    judge=judge,
    mitigation="Look at the training data of the axis first. Silencing heads mends little where much of the difference "
    "in predictions stays, and costs what the loss rises by; the section on groups of people has both where tried.",
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
