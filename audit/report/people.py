"""How attention is allotted to groups of people: an overview, then each axis with what can and cannot be said of it."""

from collections.abc import Iterator

from audit.report.blocks import Figure, Medium, PeopleAxis, PeopleBlock, Row, Table
from audit.report.digest import PAIRS
from audit.report.drawing import vector
from audit.report.people_charts import overview, pair
from audit.report.people_claims import CLAIMS
from audit.report.wording import anchor, counted, estimate, number, sentence
from audit.results import Audit
from audit.results.demographics import Skew, SkewAxis, SkewedHead, SkewExample, SkewRemedy

_HEADS = {"screen": 12, "print": 3}  # of an axis
_REMEDIES = {
    "equalised": "both words of a pair get the mean of their patterns",
    "silenced": "every token gets the head's mean output",
}
_DIFFERS = 0.05  # p of predictions
_PRONOUNS = "received_from_pronoun"  # the quantity of data sets in which pronouns are told apart
_VERDICTS = {
    "skew found": "Skew found",
    "none found": "None found",
    "descriptive": "Described, not judged",
    "not applicable": "Not applicable",
}


def people(audit: Audit, *, medium: Medium) -> PeopleBlock:
    """The whole section."""
    axes = [(skew, axis) for skew in audit.skew for axis in skew.axes]
    told = [(skew, axis) for skew, axis in axes if not axis.control and (medium == "screen" or axis.found)]
    return PeopleBlock(
        note=_note(audit),
        claims=CLAIMS if axes else (),
        overview=_overview(audit, [axis for _, axis in axes]) if axes else None,
        figure=_figure(audit, [axis for _, axis in axes], medium=medium) if axes else None,
        axes=tuple(
            _axis(
                skew,
                axis,
                medium=medium,
                drawn=medium == "screen" or axis is told[0][1],
                statement=_statement(audit, skew, axis),
            )
            for skew, axis in told
        ),
    )


def _note(audit: Audit) -> str:
    if not audit.skew:
        return "Not looked at: demographic sentences are fed from depth standard on."
    return " ".join(sentence(f"not measured: {skew.absent}") for skew in audit.skew if skew.absent)


def _overview(audit: Audit, axes: list[SkewAxis]) -> Table:
    tests = sum(skew.tests for skew in audit.skew)
    return Table(
        head=(
            "axis",
            "groups",
            "terms per group",
            "verdict",
            f"stand out (of {tests:,} tests)",
            "smallest that would show",
            "predictions differ",
        ),
        rows=tuple(
            (
                axis.title,
                " – ".join(axis.groups),
                str(axis.terms),
                _VERDICTS[axis.verdict],
                str(axis.found),
                "unknown" if axis.smallest is None else number(axis.smallest),
                _output(axis),
            )
            for axis in axes
        ),
    )


def _output(axis: SkewAxis) -> str:
    if axis.output is None or axis.output.p is None:
        return "not measured"
    return ("yes" if axis.output.p <= _DIFFERS else "not beyond chance") + f" (p = {number(axis.output.p)})"


def _figure(audit: Audit, axes: list[SkewAxis], *, medium: Medium) -> Figure | None:
    shown = [axis for axis in axes if axis.by_layer and axis.verdict in ("skew found", "none found")]
    if not shown:
        return None
    words = "; ".join(f"{axis.title}: {counted(axis.found, 'difference')}" for axis in shown)
    return Figure(
        picture=vector(overview(shown, layers=len(audit.coverage.layers)), dark=medium == "screen"),
        alt=f"Heads that stand out by axis and layer. {words}.",
        captions=(Row(label="Heads that stand out", text="by layer; the control should stay empty."),),
        table=None,
    )


def _statement(audit: Audit, skew: Skew, axis: SkewAxis) -> str:
    """What the finding says of it, without its topic."""
    for finding in audit.findings:
        if finding.topic == axis.title and any(each.probe == skew.probe for each in finding.evidence):
            return " " + sentence(finding.statement.removeprefix(f"{axis.title}: "))
    return ""


def _axis(skew: Skew, axis: SkewAxis, *, medium: Medium, drawn: bool, statement: str) -> PeopleAxis:
    listed = axis.found or medium == "screen"
    shown = axis.heads[: _HEADS[medium]] if listed else ()
    return PeopleAxis(
        anchor=anchor("people", f"{skew.probe}-{axis.name}"),
        title=axis.title,
        verdict=sentence(f"{_VERDICTS[axis.verdict]}: {axis.reason}") + statement,
        facts=tuple(_facts(skew, axis, PAIRS[medium])),
        example=_example(skew, axis, medium=medium) if drawn else None,
        heads=_heads(skew, axis, shown) if shown else None,
        heads_note=""
        if axis.found
        else "None of these stands out; they are the nearest to it."
        if shown
        else "",
        leanings=_leanings(axis) if medium == "screen" else None,
        remedies=_remedies(axis.remedies) if axis.remedies and medium == "screen" else None,
    )


def _facts(skew: Skew, axis: SkewAxis, most: int) -> Iterator[Row]:
    if axis.pairs:
        more = len(axis.pairs) - most
        words = ", ".join(f"{one} – {two}" for one, two in axis.pairs[:most])
        yield Row(label="Matched", text=words + (f" and {more} more." if more > 0 else "."))
    pronouns = _PRONOUNS in skew.quantities
    yield Row(label="Fed", text=_fed_pronouns(axis) if pronouns else _fed(axis))
    if axis.output is not None:
        over = "on average" if pronouns else "between the groups on average over templates"
        yield Row(
            label="What the model says",
            text=f"The {axis.output.measure} differs by {number(axis.output.difference)} nats {over}; "
            f"labels drawn at random give {number(axis.output.chance)}"
            + ("." if axis.output.p is None else f" (p = {number(axis.output.p)})."),
        )
    elif axis.output_absent:
        yield Row(label="What the model says", text=sentence(f"not measured: {axis.output_absent}"))
    yield Row(label="Limits", text=sentence(axis.limits))


def _fed(axis: SkewAxis) -> str:
    apart = (
        f"the groups differ by {number(abs(axis.imbalance))} standard deviations in the rank of their tokens"
    )
    return (
        f"{counted(axis.sentences, 'sentence')} of {counted(axis.templates, 'template')}; {axis.unmatched} terms "
        f"without a counterpart and {axis.unknown} unknown to the tokenizer were left out"
        + (f"; {apart}." if axis.terms else ".")
    )


def _fed_pronouns(axis: SkewAxis) -> str:
    return (
        f"{counted(axis.sentences, 'sentence')} in pairs that differ in the pronoun, {axis.terms} occupations or more of "
        "either stereotype. Compared is what an occupation receives from the pronoun that fits its stereotype and from "
        f"the other one; {counted(axis.unmatched, 'pair')} in which they are not marked clearly were left out."
    )


def _example(skew: Skew, axis: SkewAxis, *, medium: Medium) -> Figure | None:
    shown = axis.example
    if shown is None:
        return None
    what = skew.quantities.get(shown.quantity, shown.quantity)
    means = [_mean(row) for row in shown.attention]
    said = " and ".join(
        f"{number(mean)} with {term!r}" for term, mean in zip(shown.terms, means, strict=True)
    )
    text = " ".join(word or "…" for word in shown.words)
    return Figure(
        picture=vector(pair(shown), dark=medium == "screen"),
        alt=f"{text} Head {shown.head} of layer {shown.layer}, {what}: {said}, mean over the words.",
        captions=(
            Row(
                label="One pair",
                text=f"{what} in head {shown.head} of layer {shown.layer}, word by word: on average {said}. "
                "Chosen because it differs as much as the groups do on the whole.",
            ),
        ),
        table=_example_table(shown) if medium == "screen" else None,
    )


def _mean(row: tuple[float | None, ...]) -> float:
    known = [value for value in row if value is not None]
    return sum(known) / max(len(known), 1)


def _example_table(shown: SkewExample) -> Table:
    one, two = shown.attention
    return Table(
        head=("word", *shown.terms),
        rows=tuple(
            (word, *("–" if value is None else number(value) for value in values))
            for word, *values in zip(shown.words, one, two, strict=True)
            if word
        ),
    )


def _heads(skew: Skew, axis: SkewAxis, heads: tuple[SkewedHead, ...]) -> Table:
    """A column for what an untrained model shows, and one for what heads carry, only where that is known of any."""
    untrained = any(head.reinitialised is not None for head in heads)
    carrying = any(head.carries is not None for head in heads)
    return Table(
        head=(
            "what differs",
            "difference",
            *axis.groups,
            "effect size g",
            "q",
            *(("untrained",) if untrained else ()),
            *(("carries of the output",) if carrying else ()),
        ),
        rows=tuple(
            (
                f"{skew.quantities.get(head.quantity, head.quantity)}, head {head.head} of layer {head.layer}",
                _difference(head),
                *_levels(head),
                "–" if head.size is None else number(head.size),
                number(head.q),
                *((_or_dash(head.reinitialised),) if untrained else ()),
                *((_carries(head),) if carrying else ()),
            )
            for head in heads
        ),
    )


def _levels(head: SkewedHead) -> tuple[str, str]:
    """Of the two groups, which have equally many terms; a divergence is of both."""
    if head.size is None:
        return "–", "–"
    return number(head.level + head.difference / 2), number(head.level - head.difference / 2)


def _or_dash(value: float | None) -> str:
    return "–" if value is None else number(value)


def _difference(head: SkewedHead) -> str:
    return estimate(head.difference, head.low, head.high)


def _carries(head: SkewedHead) -> str:
    return _share(head.carries, head.carries_low, head.carries_high)


def _share(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0%}" if low is None or high is None else f"{value:.0%} [{low:.0%}, {high:.0%}]"


def _remedies(tried: tuple[SkewRemedy, ...]) -> Table:
    return Table(
        head=(
            "remedy",
            "heads",
            "skew left",
            "left of the difference in predictions",
            "rise of the loss (nats per token)",
        ),
        rows=tuple(
            (
                f"{each.name}: {_REMEDIES.get(each.name, '')}",
                str(each.heads),
                _share(each.skew, each.skew_low, each.skew_high),
                _share(each.output, each.output_low, each.output_high),
                "–" if each.loss is None else estimate(each.loss, each.loss_low, each.loss_high),
            )
            for each in tried
        ),
    )


def _leanings(axis: SkewAxis) -> Table | None:
    if axis.output is None or not axis.output.leanings:
        return None
    return Table(
        head=("attribute", "likelier beside", "nats"),
        rows=tuple(
            (str(each["attribute"]), str(each["toward"]), number(float(each["nats"])))
            for each in axis.output.leanings
        ),
    )
