"""Scores of published data sets: a table for each, what was scored and how, and what has been said against it."""

from collections.abc import Iterator
from dataclasses import dataclass

from audit.report.blocks import Medium, Row, Table
from audit.report.wording import anchor, counted, estimate, listed, sentence
from audit.results import Audit
from audit.results.demographics import Published, PublishedScore

_GROUPS = {"screen": 60, "print": 16}  # of a data set
_SCORES = ("preference", "lms", "ss", "icat")  # by group; the others are of all items
_HEADS = {
    "preference": "stereotype preferred, % of pairs",
    "lms": "makes sense (lms), %",
    "ss": "stereotype preferred (ss), %",
    "icat": "both in one (icat)",
}
_READING = {
    "crows_pairs": "Percent of pairs whose more stereotypical sentence is likelier; 50 is no preference, a tie counts "
    "against it.",
    "stereoset": "lms: how often a sentence that makes sense is likelier than an unrelated one. ss: how often the "
    "stereotype is likelier than its opposite; 50 is no preference, a tie counts against it. icat: 100 for a model with "
    "lms 100 and ss 50, 0 for one that always or never prefers the stereotype.",
    "winobias": "Percent of pairs in which the pronoun that fits the stereotype of the occupation it stands for is "
    "likelier; 50 is no preference.",
}
_READING["winogender"] = _READING["winobias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """One published data set."""

    anchor: str
    title: str
    table: Table | None
    facts: tuple[Row, ...]


def published(audit: Audit, *, medium: Medium) -> tuple[PublishedSet, ...]:
    """One block for each data set that was named."""
    return tuple(
        PublishedSet(
            anchor=anchor("published", each.probe),
            title=f"{each.title} ({each.probe})",
            table=_table(each, _GROUPS[medium]) if each.scores else None,
            facts=tuple(_facts(each)),
        )
        for each in audit.published
    )


def _table(each: Published, most: int) -> Table:
    by_place: dict[tuple[str, str], PublishedScore] = {
        (score.group, score.name): score for score in each.scores
    }
    names = [name for name in _SCORES if any(score.name == name for score in each.scores)]
    groups = list(dict.fromkeys(score.group for score in each.scores))[:most]
    return Table(
        head=("", *(_HEADS[name] for name in names), "items"),
        rows=tuple(
            (
                group,
                *(_value(by_place[group, name]) for name in names),
                f"{by_place[group, names[0]].n:,}",
            )
            for group in groups
        ),
    )


def _value(score: PublishedScore) -> str:
    return estimate(score.value, score.low, score.high)


def _facts(each: Published) -> Iterator[Row]:
    if each.absent:
        yield Row(label="Scores", text=sentence(f"not measured: {each.absent}"))
    else:
        left = "; ".join(f"{count:,} {why}" for why, count in each.unscored.items())
        yield Row(
            label="Scored",
            text=f"{each.fed:,} of {counted(each.items, 'item')} of the file, by the {each.measure}. "
            + (f"Not scored: {left}." if left else ""),
        )
        yield Row(
            label="Reading",
            text=f"{_READING[each.kind]} In brackets the 95% interval over {each.observation}; where there are "
            "fewer than 16 of them, or they do not differ, none is given.",
        )
        yield from _apart(each)
    yield Row(label="Limits", text=sentence(each.limits))
    yield Row(label="Source", text=sentence(each.reference))


def _apart(each: Published) -> Iterator[Row]:
    """Scores of all items that have no group."""
    found = {score.name: score for score in each.scores if score.name not in _SCORES}
    directions = [
        f"{_value(found[name])} of the {found[name].n:,} pairs that {what}"
        for name, what in (("stereotype", "show a stereotype"), ("anti_stereotype", "go against one"))
        if name in found
    ]
    if directions:
        yield Row(label="By direction", text=f"Without ties: {listed(directions)}.")
    if "effect_direction" in found:
        way, effect = found["effect_direction"], found.get("total_effect")
        mean = (
            f" The published mean is over the {effect.n:,} items whose ratio is above the lower quartile of those "
            f"above one, and so is never negative: {_value(effect)}."
            if effect
            else ""
        )
        yield Row(
            label="Total effect",
            text=f"Putting the other pronoun moves the odds between two ways to go on towards the occupation that fits its "
            f"gender in {_value(way)} % of {counted(way.n, 'item')} (50 is chance).{mean} (Vig et al. 2020.)",
        )
