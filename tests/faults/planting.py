"""Puts several faults of different kinds into different layers of one model, and asks the audit what it sees."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from audit import catalog
from audit.feeding import cut
from audit.interventions.fresh import fresh
from audit.interventions.halves import Half
from audit.models.loading import LoadedModel
from audit.results import Finding, Plan
from tests.faults.auditing import confirmed, judged
from tests.faults.kinds import KINDS, Kind
from tests.faults.looking import Site, Walk
from tests.faults.plants import Heads
from tests.faults.wiring import restored

STRENGTHS = ("obvious", "moderate", "subtle")
PROBES = ("prose", "code")
LENGTH, SAMPLES, AIMED = (
    64,
    16,
    24,
)  # tokens; documents of each probe for each of two audit halves; texts to aim by
TRIES, COPIES = 3, 7  # heads per kind and layer; models with faults per strength


class Texts(NamedTuple):
    """What one model is fed: no document stands in two of the three."""

    detection: tuple[Half, ...]
    confirmation: tuple[Half, ...]
    further: tuple[Half, ...]
    aiming: Tensor  # [text, token], for the planting alone


class Planted(NamedTuple):
    """A fault of which a plain pass showed that it is there."""

    kind: Kind
    layer: int
    heads: Heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one planted fault."""

    model: str
    seed: int
    strength: str
    kind: str
    rule: str
    layer: int
    heads: tuple[int, ...]
    found: bool
    statuses: tuple[str, ...]  # of the right findings
    said: tuple[str, ...]  # everything that was said of the place


def texts(loaded: LoadedModel, *, seed: int, samples: int = SAMPLES) -> Texts:
    """Windows of prose and code of `LENGTH` tokens."""
    sets: list[list[Half]] = [[], [], []]
    windows: list[Tensor] = []
    for name in PROBES:
        probe = catalog.probes()[name]
        feeds = [
            cut(
                probe, loaded, Plan(samples=count * samples, max_length=LENGTH, batch_size=samples, seed=seed)
            )
            for count in (1, 2, 3)
        ]
        sets[0].append(Half(name, feeds[0].batches))
        sets[1].append(fresh(feeds[1], feeds[0]))
        sets[2].append(fresh(feeds[2], feeds[1]))
        more = cut(probe, loaded, Plan(samples=AIMED, max_length=LENGTH, seed=seed + 1000))
        windows += [row for batch in more.batches for row in batch.input_ids[batch.tokens.all(1)]]
    return Texts(*map(tuple, sets), aiming=torch.stack([row for row in windows if len(row) == LENGTH]))


def planted_copies(
    name: str, loaded: LoadedModel, fed: Texts, *, seed: int, strength: str, kinds: Sequence[Kind] = KINDS
) -> Iterator[list[Result]]:
    """The results of one copy after another, until each kind was planted once or found no place."""
    draw = random.Random(f"{name} {seed} {strength}")
    depth = int(loaded.config.num_hidden_layers)
    waiting = draw.sample(list(kinds), len(kinds))
    for _ in range(COPIES):
        together = [kind for kind in waiting if not kind.alone]
        sites = sorted(draw.sample(range(depth), min(depth - 2, 7))) if together else [_late(depth, draw)]
        with restored(loaded.model):
            planted = _plant(Walk(loaded.model, fed.aiming), sites, together or waiting, strength, draw)
            findings = _audited(loaded, fed, planted, seed) if planted else ()
        known = {each.kind for each in planted}
        # A kind that none of the sites would take has had its chance; those that stand alone come last.
        waiting = [kind for kind in waiting if kind not in known and (planted or (together and kind.alone))]
        yield [_result(name, seed, strength, each, findings) for each in planted]
        if not waiting:
            return


def _late(depth: int, draw: random.Random) -> int:
    return draw.randrange(depth // 2, depth - 1)


def _plant(
    walk: Walk, sites: Sequence[int], waiting: Sequence[Kind], strength: str, draw: random.Random
) -> list[Planted]:
    """At each site the first waiting kind that can be planted there; kinds that stand alone get a model for each."""
    planted: list[Planted] = []
    for site in map(walk.to, sites):
        for kind in waiting:
            if kind not in {each.kind for each in planted}:
                heads = _planted(site, kind, strength, draw)
                if heads is not None:
                    planted.append(Planted(kind, site.layer, heads))
                    break
    return planted


def _planted(site: Site, kind: Kind, strength: str, draw: random.Random) -> Heads | None:
    """Plants `kind`, and says in which heads; None, and nothing changed, where no try made the fault it is meant to be."""
    dose, block = kind.doses[STRENGTHS.index(strength)], site.wires.block
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    for _ in range(
        1 if kind.costless else TRIES
    ):  # nothing of a whole layer is drawn: another try is the same
        heads = kind.plant(site, dose, draw)
        if kind.true(site, heads, dose):
            return heads
        block.load_state_dict(before)
    return None


def _audited(loaded: LoadedModel, fed: Texts, planted: Sequence[Planted], seed: int) -> tuple[Finding, ...]:
    """What the audit says; what is right is confirmed where that is part of it."""
    findings = judged(loaded, fed.detection, seed=seed)
    known = confirmed(
        loaded,
        findings,
        fed.detection,
        fed.confirmation,
        seed=seed,
        wanted=lambda finding: any(each.kind.costless and _hits(finding, each) for each in planted),
    )
    return (*known, *(finding for finding in findings if finding.id not in {each.id for each in known}))


def _result(name: str, seed: int, strength: str, planted: Planted, findings: Sequence[Finding]) -> Result:
    right = [finding for finding in findings if _hits(finding, planted)]
    named = {finding.head for finding in right if finding.head is not None}
    found = bool(right) and named >= set(planted.heads)
    if planted.kind.costless:
        found &= all(finding.confirmation.status != "not_confirmed" for finding in right)
    return Result(
        model=name,
        seed=seed,
        strength=strength,
        kind=planted.kind.name,
        rule=planted.kind.rule,
        layer=planted.layer,
        heads=planted.heads,
        found=found,
        statuses=tuple(sorted({finding.confirmation.status for finding in right})),
        said=tuple(sorted({finding.id for finding in findings if finding.layer == planted.layer})),
    )


def _hits(finding: Finding, planted: Planted) -> bool:
    """Whether a finding is the right one: the rule, the layer and, where a head was planted, the head."""
    if finding.rule != planted.kind.rule:
        return False
    if finding.layer is None:
        return f".{planted.layer}." in finding.statement
    if planted.kind.alone:
        return planted.layer <= finding.layer <= planted.layer + 1
    return finding.layer == planted.layer and (not planted.heads or finding.head in planted.heads)
