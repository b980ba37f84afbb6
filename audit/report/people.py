"""How attention is allotted to groups of people: an overview, then each axis with what can and cannot be said of it."""

from collections.abc import Iterator

import altair as alt

from audit.report.blocks import Figure, Medium, PeopleAxis, PeopleBlock, Row, Table
from audit.report.drawing import vector
from audit.report.scales import Scale, Spec, base, colour, filled, label_every, numbered, spec, step
from audit.report.wording import anchor, counted, estimate, number, sentence
from audit.results import Audit
from audit.results.demographics import Skew, SkewAxis, SkewedHead

_HEADS = {"screen": 12, "print": 5}  # of an axis
_WIDTH, _ROW = 420, 18  # pixels: of the chart, and of one axis in it
_CLAIMS = (
    Row(
        label="What is compared",
        text="The same sentences with words for one group and for the other, matched in word pieces. First group minus "
        "second; the interval would hold for other words and other sentences of the same kind.",
    ),
    Row(
        label="What is not claimed",
        text="A difference in attention is a correlation: it is no difference in what the model says, which stands "
        "beside it where it was measured, and neither is by itself a harm. English word lists describe people badly, and "
        "data sets of this kind have been criticised for it (Blodgett et al. 2021).",
    ),
)
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
    return PeopleBlock(
        note=_note(audit),
        claims=_CLAIMS if axes else (),
        overview=_overview(audit, [axis for _, axis in axes]) if axes else None,
        figure=_figure(audit, [axis for _, axis in axes], medium=medium) if axes else None,
        axes=tuple(
            _axis(skew, axis, medium=medium)
            for skew, axis in axes
            if not axis.control and (medium == "screen" or axis.found)
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
            f"of {tests:,} tests",
            "smallest visible",
            "output",
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
    return f"p = {number(axis.output.p)}"


def _figure(audit: Audit, axes: list[SkewAxis], *, medium: Medium) -> Figure | None:
    shown = [axis for axis in axes if axis.by_layer and axis.verdict in ("skew found", "none found")]
    if not shown:
        return None
    most = max(max(axis.by_layer) for axis in shown)
    words = "; ".join(f"{axis.title}: {counted(axis.found, 'difference')}" for axis in shown)
    return Figure(
        picture=vector(_chart(shown, layers=len(audit.coverage.layers), most=most), dark=medium == "screen"),
        alt=f"Heads that stand out by axis and layer. {words}.",
        captions=(Row(label="Heads that stand out", text="by layer; the control should stay empty."),),
        table=None,
    )


def _chart(axes: list[SkewAxis], *, layers: int, most: int) -> Spec:
    side = step(_WIDTH, layers, 24)
    cells = base("cells").mark_rect(aria=False)
    drawn = cells.encode(
        x=alt.X(**numbered("layer", layers, every=label_every(layers, side))),
        y=alt.Y("axis:N", sort=None, title=None),
        color=colour(Scale("heads", 0.0, float(max(most, 1)))),
    )
    return filled(
        spec(drawn.properties(width=alt.Step(side), height=alt.Step(_ROW))),
        cells=[
            {"axis": axis.name.replace("_", " "), "layer": layer, "value": count}
            for axis in axes
            for layer, count in enumerate(axis.by_layer)
        ],
    )


def _axis(skew: Skew, axis: SkewAxis, *, medium: Medium) -> PeopleAxis:
    listed = axis.found or medium == "screen"
    shown = axis.heads[: _HEADS[medium]] if listed else ()
    return PeopleAxis(
        anchor=anchor("people", f"{skew.probe}-{axis.name}"),
        title=axis.title,
        verdict=sentence(f"{_VERDICTS[axis.verdict]}: {axis.reason}"),
        facts=tuple(_facts(skew, axis)),
        heads=_heads(skew, shown) if shown else None,
        heads_note=""
        if axis.found
        else "None of these stands out; they are the nearest to it."
        if shown
        else "",
        leanings=_leanings(axis),
    )


def _facts(skew: Skew, axis: SkewAxis) -> Iterator[Row]:
    if axis.pairs:
        yield Row(label="Matched", text=", ".join(f"{one} – {two}" for one, two in axis.pairs) + ".")
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
        if axis.output.equalised is not None:
            yield Row(
                label="Remedy tried",
                text=f"With the named heads treating both terms alike, {axis.output.equalised:.0%} of the difference "
                "remain.",
            )
    elif axis.output_absent:
        yield Row(label="What the model says", text=sentence(f"not measured: {axis.output_absent}"))
    yield Row(label="Limits", text=sentence(axis.limits))


def _fed(axis: SkewAxis) -> str:
    return (
        f"{counted(axis.sentences, 'sentence')} of {counted(axis.templates, 'template')}; {axis.unmatched} terms "
        f"without a counterpart and {axis.unknown} unknown to the tokenizer were left out; the groups differ by "
        f"{number(abs(axis.imbalance))} standard deviations in the rank of their tokens."
    )


def _fed_pronouns(axis: SkewAxis) -> str:
    return (
        f"{counted(axis.sentences, 'sentence')} in pairs that differ in the pronoun, {axis.terms} occupations or more of "
        "either stereotype. Compared is what an occupation receives from the pronoun that fits its stereotype and from "
        f"the other one; {counted(axis.unmatched, 'pair')} in which they are not marked clearly were left out."
    )


def _heads(skew: Skew, heads: tuple[SkewedHead, ...]) -> Table:
    return Table(
        head=(
            "what differs",
            "difference",
            "level",
            "effect size g",
            "q",
            "untrained",
            "carries of the output",
        ),
        rows=tuple(
            (
                f"{skew.quantities.get(head.quantity, head.quantity)}, head {head.head} of layer {head.layer}",
                _difference(head),
                number(head.level),
                "–" if head.size is None else number(head.size),
                number(head.q),
                "–" if head.reinitialised is None else number(head.reinitialised),
                _carries(head),
            )
            for head in heads
        ),
    )


def _difference(head: SkewedHead) -> str:
    return estimate(head.difference, head.low, head.high)


def _carries(head: SkewedHead) -> str:
    if head.carries is None:
        return "–"
    if head.carries_low is None or head.carries_high is None:
        return f"{head.carries:.0%}"
    return f"{head.carries:.0%} [{head.carries_low:.0%}, {head.carries_high:.0%}]"


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
