"""Flags blocks that leave the tokens nearly as they found them."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.rules._reading import measured_texts, on_all, shown, upper

_METRIC = "block_influence"


def judge(case: Case) -> Judgement:
    """A suspicion for each block that hardly turns the tokens on any text probe."""
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    limit = case.thresholds["influence"]
    flagged = []
    for place in case.cells(_METRIC, probes[0]):
        cells = on_all(case, _METRIC, probes, place.layer)
        if cells is None or any(upper(cell) > limit for cell in cells):
            continue
        null = case.null(_METRIC, "other_layers", place.layer)
        evidence = tuple(
            shown(
                cell,
                _METRIC,
                probe,
                threshold=limit,
                direction="below",
                null=null.value if null else None,
            )
            for probe, cell in zip(probes, cells, strict=True)
        )
        flagged.append(
            Suspicion(
                layer=place.layer,
                statement=f"The block of layer {place.layer} looks redundant: tokens leave it pointing almost where they "
                "pointed before.",
                evidence=evidence,
                cause="more depth than training made use of, or a block whose output is scaled to almost nothing",
            )
        )
    return tuple(flagged)


RULE = Rule(
    name="redundant_layer",
    title="Redundant layer",
    summary="a block that leaves the tokens nearly as it found them",
    criterion="95% upper bound of block_influence <= `influence` on every text probe",
    judge=judge,
    mitigation="If ablation confirms it: drop the block, or look at the scale of its output projections.",
    limits="A small turn may matter and a large one may not: the loss without the block decides, not this number. "
    "Several blocks that can each be dropped cannot always be dropped together.",
    references=("Men et al. 2024, ShortGPT, arXiv 2403.03853 (block influence)",),
    reads=(_METRIC,),
)
