"""Flags heads that put out little on every kind of text, and notes those that sleep on one kind only."""

import math
from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.numerics import rounded
from audit.results import Confirmation, Evidence
from audit.rules._reading import measured_texts, on_all, shown, upper

_METRIC, _SLICE, _WEIGHTS = "head_output_norm", "output_weight_norm", "weights"
_ASIDE = ("sink_mass", "sink_drain")  # what a reviewer asks next

Place = tuple[int, int | None]


class _Tails(NamedTuple):
    """What the lowest share of the model's heads reach at most, on one probe."""

    output: float
    written: float


def judge(case: Case) -> Judgement:
    """A suspicion for each head that looks dormant on all texts; a remark for one that sleeps on some only."""
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    if len(probes) < 2:
        return NotMeasured(
            f"one kind of text only ({probes[0]}): a head that sleeps there may be awake on another, such as code"
        )
    slices = _slices(case)
    tails = {probe: _tails(case, probe, slices) for probe in probes}
    return tuple(_judged(case, probes, tails, slices))


def _judged(
    case: Case, probes: list[str], tails: dict[str, _Tails], slices: dict[Place, float]
) -> Iterator[Suspicion]:
    for place in case.cells(_METRIC, probes[0]):
        cells = on_all(case, _METRIC, probes, place.layer, place.head)
        part = slices.get((place.layer, place.head), 1.0)
        if cells is None or part <= 0.0 or any(cell.value <= 0.0 for cell in cells):
            continue  # a head that puts out nothing is dead, not dormant
        by_probe = dict(zip(probes, cells, strict=True))
        muted = [p for p, cell in by_probe.items() if _muted(case, cell, part, tails[p].written)]
        asleep = [p for p, cell in by_probe.items() if p in muted or _asleep(case, p, cell, tails[p].output)]
        awake = [p for p, cell in by_probe.items() if cell.value >= case.thresholds["active"]]
        if len(muted) == len(probes):
            yield _dormant(case, place, (*_slice(case, place, part), *_evidence(case, by_probe, tails)))
        elif len(asleep) == len(probes):
            yield _dormant(case, place, _evidence(case, by_probe, tails))
        elif asleep and awake:
            yield _half_asleep(place, asleep[0], awake[0], _evidence(case, by_probe, tails))


def _asleep(case: Case, probe: str, cell: Cell, tail: float) -> bool:
    """Quiet against the layer and against the model's other heads, and without a pattern of its own beside sinks."""
    quiet = upper(cell) <= case.thresholds["output"] and cell.value <= tail
    return quiet and not _structured(case, probe, cell)


def _muted(case: Case, cell: Cell, part: float, tail: float) -> bool:
    """Whether W_O makes little of what the head puts out; no cue will wake a head with so small a slice."""
    limit = case.thresholds["output"]
    return part <= limit and upper(cell) * part <= limit and cell.value * part <= tail


def _structured(case: Case, probe: str, place: Cell) -> bool:
    """Whether what the head keeps off its sinks is sharp or positional: a benign head that waits for its cue."""
    entropy = case.cell("attention_entropy_without_sinks", probe, place.layer, place.head)
    sink = case.cell("sink_mass", probe, place.layer, place.head)
    offset = case.cell("offset_mass", probe, place.layer, place.head)
    sinks = sink is not None and sink.value >= case.thresholds["sink_mass"]
    kept = 1.0 - (sink.value if sink else 0.0)
    sharp = entropy is not None and entropy.value < case.thresholds["structured_entropy"]
    positional = offset is not None and offset.value > case.thresholds["structured_offset"] * kept
    told = kept >= case.thresholds["structured_mass"] and (sharp or positional)
    # Had its cue taken all of its mass off the sinks, it would still say as little: the values are what is small.
    speechless = upper(place) <= case.thresholds["output"] * kept
    return sinks and told and not speechless


def _slices(case: Case) -> dict[Place, float]:
    """The norm of each head's slice of W_O over the mean of its layer; empty where W_O is no plain matrix."""
    cells = list(case.cells(_SLICE, _WEIGHTS))
    layers = {cell.layer for cell in cells}
    means = {layer: fmean(cell.value for cell in cells if cell.layer == layer) for layer in layers}
    return {
        (cell.layer, cell.head): cell.value / means[cell.layer] for cell in cells if means[cell.layer] > 0
    }


def _tails(case: Case, probe: str, slices: dict[Place, float]) -> _Tails:
    """The values that the lowest share `quantile` of the model's heads reach at most, before and behind W_O."""
    cells = list(case.cells(_METRIC, probe))
    last = max(0, math.ceil(case.thresholds["quantile"] * len(cells)) - 1)
    written = sorted(cell.value * slices.get((cell.layer, cell.head), 1.0) for cell in cells)
    return _Tails(sorted(cell.value for cell in cells)[last], written[last])


def _slice(case: Case, place: Cell, part: float) -> tuple[Evidence, ...]:
    """The slice of W_O as evidence, beside what it would have to be."""
    cell = case.cell(_SLICE, _WEIGHTS, place.layer, place.head)
    if cell is None:
        return ()
    limit = case.thresholds["output"] * cell.value / part
    return (shown(cell, _SLICE, _WEIGHTS, threshold=rounded(limit), direction="below"),)


def _evidence(case: Case, cells: dict[str, Cell], tails: dict[str, _Tails]) -> tuple[Evidence, ...]:
    limit = case.thresholds["output"]
    judged = [
        shown(cell, _METRIC, probe, threshold=limit, direction="below", null=tails[probe].output)
        for probe, cell in cells.items()
    ]
    aside = [
        shown(found, metric, probe)
        for metric in _ASIDE
        for probe, cell in cells.items()
        if (found := case.cell(metric, probe, cell.layer, cell.head)) is not None
    ]
    return (*judged, *aside)


def _dormant(case: Case, place: Cell, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=place.layer,
        head=place.head,
        statement=f"Head {place.head} of layer {place.layer} looks dormant: on every kind of text it says less than "
        f"{case.thresholds['output']:.0%} of what the mean head of its layer says.",
        evidence=evidence,
        cause="attention resting on drained sinks, values that hardly grew, or an output projection that mutes them",
    )


def _half_asleep(place: Cell, asleep: str, awake: str, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=place.layer,
        head=place.head,
        severity="info",
        confirmation=Confirmation(
            status="absolute", reason="a remark on what it does; nothing is to be taken out"
        ),
        statement=f"Head {place.head} of layer {place.layer} is quiet on {asleep} and active on {awake}: it is "
        "specialised, and not to be removed by what one kind of text shows.",
        evidence=evidence,
        cause="specialisation on one kind of text",
    )


RULE = Rule(
    name="dormant_head",
    title="Dormant head",
    summary="a head that puts out little on every kind of text",
    criterion="on every text probe: 95% upper bound of head_output_norm <= `output` AND head_output_norm within the lowest "
    "`quantile` of the model's heads, unless at least `sink_mass` rests on sinks and the rest (`structured_mass` or more) "
    "is sharp (attention_entropy_without_sinks < `structured_entropy`) or positional (offset_mass > `structured_offset` "
    "of it) and head_output_norm would be above `output` with all of the mass there; OR its slice of W_O (norm over the layer's mean), and that times head_output_norm, are as low. "
    "Quiet on one and at least `active` on another: a remark",
    judge=judge,
    mitigation="Let ablation confirm it, then prune the head or leave it: a sink gives attention a place to rest, and "
    "costs quality only where many heads need it.",
    limits="Two kinds of text are the least; a third may wake the head. Norms are relative to the "
    "layer: a layer that is quiet as a whole does not show here. Part of a distribution is always its lowest 15%: "
    "hence the absolute threshold beside it.",
    references=(
        "Sandoval-Segura et al., arXiv 2504.03889 (average head output norm, layer-normalised)",
        "Guo et al. 2024, arXiv 2410.13835 (active-dormant heads)",
        "Gu et al., ICLR 2025 (attention sinks)",
    ),
    reads=(_METRIC,),
)
