"""The two rounds of a confirmation: first one replacement for each finding, then others for what that left standing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from audit.interventions.ablation import Cut
from audit.interventions.candidates import Budget, Candidate
from audit.interventions.costs import Cost, costs
from audit.interventions.judgement import Scale, decided, named, p_of
from audit.interventions.readings import Fed, Samples
from audit.interventions.trials import Bench, Tried, Way, tried
from audit.results import Confirmation
from audit.statistics.noninferiority import holm


class Session(NamedTuple):
    """What stays the same while confirming."""

    bench: Bench
    way: Way
    feeds: Sequence[Fed]
    seed: int

    def tried(self, cuts: Sequence[Cut]) -> Tried:
        """Readings of the unchanged model and with these cuts."""
        return tried(self.bench, self.way, self.feeds, cuts)

    def costs(self, found: Tried) -> dict[Cut, Cost]:
        """What those cuts cost."""
        return costs(found, self.bench.objective, seed=self.seed)


class First(NamedTuple):
    """What one replacement for each finding showed."""

    samples: Samples
    costs: dict[Cut, Cost]
    refused: dict[Cut, str]
    p_holm: dict[tuple[Cut, ...], float]
    scale: Scale
    passes: float

    def refusal(self, candidate: Candidate) -> str | None:
        """Why what the candidate names could not be taken out."""
        return next((self.refused[cut] for cut in candidate.cuts if cut in self.refused), None)

    def decision(self, candidate: Candidate, others: Mapping[Cut, Cost]) -> Confirmation:
        """What is said of the candidate, with what is known of its other replacements."""
        found = {cut: self.costs[cut] for cut in candidate.cuts}
        beside = {cut: others[cut] for cut in candidate.others if cut in others}
        return decided(found, beside, self.p_holm.get(candidate.cuts), self.scale)


class Second(NamedTuple):
    """What else was tried on what is harmless."""

    costs: dict[Cut, Cost]
    together: Cut  # everything harmless at once; empty where there are not two
    left_out: tuple[str, ...]
    passes: float


def first_round(session: Session, chosen: Sequence[Candidate]) -> First:
    """Each finding's own replacement, corrected for all; what two findings share is tried and counted once."""
    found = session.tried(list(dict.fromkeys(cut for each in chosen for cut in each.cuts)))
    cost = session.costs(found)
    keys = dict.fromkeys(each.cuts for each in chosen if all(cut in cost for cut in each.cuts))
    p = {key: value for key in keys if (value := p_of([cost[cut] for cut in key])) is not None}
    p_holm = dict(zip(p, holm(list(p.values())), strict=True))
    measure = session.bench.objective
    scale = Scale(
        objective=measure,
        level=measure.level(found.samples),
        margin=measure.margin(found.samples),
        tests=max(1, len(keys)),
    )
    return First(found.samples, cost, found.refused, p_holm, scale, found.passes)


def second_round(
    session: Session, first: First, harmless: Sequence[Candidate], budget: Budget, *, spent: float
) -> Second:
    """Other replacements of what is harmless, the first of each before the second, while the budget lasts."""
    cuts = [cut for each in harmless for cut in each.cuts]
    together = _together(session.way, cuts) if len(harmless) > 1 else ()
    if together in first.costs:
        together = ()  # two findings, one thing
    ranks = max((len(each.others) for each in harmless), default=0)
    wanted = [each.others[rank] for rank in range(ranks) for each in harmless if rank < len(each.others)]
    wanted = [cut for cut in dict.fromkeys(wanted) if session.way.refusal(cut) is None]
    if not wanted and not together:
        return Second({}, (), (), 0.0)
    spent += 1.0 + (session.way.cost(together) if together else 0.0)
    covered: list[Cut] = []
    left_out: list[Cut] = []
    for cut in wanted:
        spent += session.way.cost(cut)
        (covered if budget.passes is None or spent <= budget.passes else left_out).append(cut)
    found = session.tried([*covered, *([together] if together else [])])
    words = tuple(f"{named(cut[0])}: {cut[0].replacement}" for cut in left_out)
    return Second(session.costs(found), together, words, found.passes)


def _together(way: Way, cuts: Sequence[Cut]) -> Cut:
    """All of `cuts` as one; what stands in a block that is taken out goes with it."""
    every = tuple(dict.fromkeys(ablation for cut in cuts for ablation in cut))
    blocks = way.route.skipped(every)
    whole = {a.layer for a in every if a.target == "attention" and a.replacement == "skip"}
    return tuple(
        ablation
        for ablation in every
        if ablation.target == "block"
        or (
            (way.route.run_of(ablation.layer) not in blocks)
            and (
                (ablation.target == "attention" and ablation.replacement == "skip")
                or ablation.layer not in whole
            )
        )
    )
