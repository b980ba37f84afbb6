"""Flags heads that put out little on every kind of text, and notes those that sleep on one kind only."""

import math
from collections.abc import Iterator

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Confirmation, Evidence
from audit.rules._reading import measured_texts, on_all, shown, upper

_METRIC = "head_output_norm"
_ASIDE = ("sink_mass", "sink_drain")  # what a reviewer asks next


def judge(case: Case) -> Judgement:
    """A suspicion for each head that looks dormant on all texts; a remark for one that sleeps on some only."""
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    if len(probes) < 2:
        return NotMeasured(
            f"one kind of text only ({probes[0]}): a head that sleeps there may be awake on another, such as code"
        )
    tails = {probe: _quantile(case, probe) for probe in probes}
    return tuple(_judged(case, probes, tails))


def _judged(case: Case, probes: list[str], tails: dict[str, float]) -> Iterator[Suspicion]:
    for place in case.cells(_METRIC, probes[0]):
        cells = on_all(case, _METRIC, probes, place.layer, place.head)
        if cells is None or any(cell.value <= 0.0 for cell in cells):
            continue  # a head that puts out nothing is dead, not dormant
        by_probe = dict(zip(probes, cells, strict=True))
        asleep = [probe for probe, cell in by_probe.items() if _asleep(case, probe, cell, tails[probe])]
        awake = [probe for probe, cell in by_probe.items() if cell.value >= case.thresholds["active"]]
        if len(asleep) == len(probes):
            yield _dormant(case, place, _evidence(case, by_probe, tails))
        elif asleep and awake:
            yield _half_asleep(place, asleep[0], awake[0], _evidence(case, by_probe, tails))


def _asleep(case: Case, probe: str, cell: Cell, tail: float) -> bool:
    """Quiet against the layer and against the model's other heads, and without a pattern of its own beside sinks."""
    quiet = upper(cell) <= case.thresholds["output"] and cell.value <= tail
    return quiet and not _structured(case, probe, cell)


def _structured(case: Case, probe: str, place: Cell) -> bool:
    """Whether what the head keeps off its sinks is sharp or positional: a benign head that waits for its cue."""
    entropy = case.cell("attention_entropy_without_sinks", probe, place.layer, place.head)
    sink = case.cell("sink_mass", probe, place.layer, place.head)
    offset = case.cell("offset_mass", probe, place.layer, place.head)
    sinks = sink is not None and sink.value >= case.thresholds["sink_mass"]
    sharp = entropy is not None and entropy.value < case.thresholds["structured_entropy"]
    kept = 1.0 - (sink.value if sink else 0.0)
    positional = offset is not None and offset.value > case.thresholds["structured_offset"] * kept
    return sinks and (sharp or positional)


def _quantile(case: Case, probe: str) -> float:
    """The value that the lowest share `quantile` of the model's heads reach at most."""
    values = sorted(cell.value for cell in case.cells(_METRIC, probe))
    return values[max(0, math.ceil(case.thresholds["quantile"] * len(values)) - 1)]


def _evidence(case: Case, cells: dict[str, Cell], tails: dict[str, float]) -> tuple[Evidence, ...]:
    limit = case.thresholds["output"]
    judged = [
        shown(cell, _METRIC, probe, threshold=limit, direction="below", null=tails[probe])
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
        statement=f"Head {place.head} of layer {place.layer} looks dormant: on every kind of text it puts out less than "
        f"{case.thresholds['output']:.0%} of the mean head of its layer.",
        evidence=evidence,
        cause="attention resting on drained sinks, or values that hardly grew",
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
    "`quantile` of the model's heads, unless at least `sink_mass` rests on sinks and the rest is sharp "
    "(attention_entropy_without_sinks < `structured_entropy`) or positional (offset_mass > `structured_offset` of it). "
    "Quiet on one and at least `active` on another: a remark",
    judge=judge,
    mitigation="Let ablation confirm it, then prune the head or leave it: a sink gives attention a place to rest, and "
    "costs quality only where many heads need it.",
    limits="Two kinds of text are the least; a third may wake the head. Norms are taken before W_O, and relative to the "
    "layer: a layer that is quiet as a whole does not show here. Part of a distribution is always its lowest 15%: "
    "hence the absolute threshold beside it.",
    references=(
        "Sandoval-Segura et al., arXiv 2504.03889 (average head output norm, layer-normalised)",
        "Guo et al. 2024, arXiv 2410.13835 (active-dormant heads)",
        "Gu et al., ICLR 2025 (attention sinks)",
    ),
    reads=(_METRIC,),
)
