"""How far back the model uses what it has read, as a page shows it."""

from dataclasses import dataclass

from audit.report.blocks import Row, Table
from audit.report.wording import counted, estimate, number, sentence
from audit.results import Audit
from audit.results.reach import PositionDecay, Reach

_SCHEMES = {
    "sinusoidal table": "a table of sines and cosines",
    "learned table": "a learned table",
    "rotary": "rotations of queries and keys",
    "other": "no table and no rotation that is known here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachSection:
    """What context is worth to the model, or why that is not known."""

    note: str
    words: tuple[str, ...]
    kept: Table | None
    repeats: Table | None
    facts: tuple[Row, ...]


def reach_section(audit: Audit) -> ReachSection:
    """What context is worth at growing lengths, and how positions become unlike each other."""
    reach = audit.reach
    if reach is None:
        return ReachSection(note="Measured at depth full.", words=(), kept=None, repeats=None, facts=())
    facts = _positions(reach.decay)
    if reach.absent is not None or not reach.kept:
        note = sentence(f"not measured: {reach.absent or 'nothing was read'}")
        return ReachSection(note=note, words=(), kept=None, repeats=None, facts=facts)
    return ReachSection(note="", words=_words(reach), kept=_kept(reach), repeats=_repeats(reach), facts=facts)


def _words(reach: Reach) -> tuple[str, ...]:
    lost = (
        f"Two experiments on {counted(reach.kept[-1].n, 'document')} of the probe {reach.probe}, in windows of "
        f"{reach.window} tokens. In the first the last {reach.passage} tokens of a window are predicted with ever more of "
        "the text before them: how much less the model knows with a part of it than with all of it."
    )
    repeated = (
        f"In the second a passage of {reach.passage} tokens is put into the text once more: how much better it is "
        "predicted than if another passage had stood in its place. A model that remembers gains at every distance; one "
        "that forgets gains near by and not far away."
    )
    return lost, repeated


def _kept(reach: Reach) -> Table:
    return Table(
        head=("Tokens of context", "Loss", f"Above the loss with all ({reach.unit})"),
        rows=tuple(
            (
                f"{kept.tokens:,}",
                "not finite" if kept.loss is None else number(kept.loss),
                "all there is" if kept is reach.kept[-1] else _estimate(kept.effect, kept.low, kept.high),
            )
            for kept in reach.kept
        ),
    )


def _repeats(reach: Reach) -> Table:
    near = reach.repeats[0].gain
    return Table(
        head=("Tokens back", f"Gain from its repetition ({reach.unit})", "Of the nearest"),
        rows=tuple(
            (
                f"{repeat.distance:,}",
                _estimate(repeat.gain, repeat.low, repeat.high),
                "–" if repeat.gain is None or not near or near <= 0 else f"{repeat.gain / near:.0%}",
            )
            for repeat in reach.repeats
        ),
    )


def _estimate(value: float | None, low: float | None, high: float | None) -> str:
    return "not finite" if value is None else estimate(value, low, high)


def _positions(decay: PositionDecay) -> tuple[Row, ...]:
    base = f" with base {number(decay.base)}" if decay.base else ""
    room = f"; the configuration promises {decay.positions:,}" if decay.positions else ""
    rows = [Row(label="Positions", text=sentence(f"{_SCHEMES[decay.scheme]}{base}{room}"))]
    if decay.alike:
        told = ", ".join(f"{number(value)} at {distance:,}" for distance, value in decay.alike)
        rows.append(
            Row(
                label="Likeness by distance",
                text=f"{told} tokens; 1 is a position and itself. What attention gives by position alone fades with it.",
            )
        )
    if decay.turns is not None:
        text = (
            f"from {decay.turns:,} tokens on a key is turned so far that its likeness to itself is negative: "
            "the same content is no longer preferred for what it is (Men et al. 2024, arXiv 2405.14591)"
        )
        rows.append(Row(label="Turned apart", text=sentence(text)))
    return tuple(rows)
