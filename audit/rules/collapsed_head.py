"""Flags heads that stare at one ordinary place in every text."""

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.rules._reading import measured_texts, on_all, shown

_METRIC = "fixed_column_mass"


def judge(case: Case) -> Judgement:
    """A suspicion for each head with nearly all its mass on one and the same column that is no sink."""
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    flagged = []
    for first in case.cells(_METRIC, probes[0]):
        cells = on_all(case, _METRIC, probes, first.layer, first.head)
        if cells and all(cell.value >= case.thresholds["mass"] for cell in cells):
            flagged.append(_suspicion(case, first, dict(zip(probes, cells, strict=True))))
    return tuple(flagged)


def _suspicion(case: Case, place: Cell, cells: dict[str, Cell]) -> Suspicion:
    nulls = {probe: case.null(_METRIC, "other_heads", place.layer) for probe in cells}
    return Suspicion(
        layer=place.layer,
        head=place.head,
        statement=f"Head {place.head} of layer {place.layer} gives nearly all its attention to one and the same "
        "place in every text, and that place is no attention sink.",
        evidence=tuple(
            shown(
                cell,
                _METRIC,
                probe,
                threshold=case.thresholds["mass"],
                direction="above",
                null=null.high if (null := nulls[probe]) else None,
            )
            for probe, cell in cells.items()
        ),
        cause="scores dominated by one position or one bias: the head answers the same to every query",
    )


RULE = Rule(
    name="collapsed_head",
    title="Collapsed head",
    summary="a head with nearly all attention on one place that is no sink, whatever the text",
    criterion="fixed_column_mass >= `mass` on every text probe",
    judge=judge,
    mitigation="In training: QK-norm or a smaller score scale, and a look at biases and positions. On the checkpoint: "
    "the head can be replaced by its mean output once removing it was seen to cost nothing.",
    limits="Places are counted from the start of the text, the first 256 of them: a head that stares at the last token "
    "of texts of different lengths is not found. A place that a quarter of the layer's heads share counts as a sink.",
    references=(
        "Sanyal et al., arXiv 2404.08634 (single-column patterns)",
        "Gu et al., ICLR 2025 (attention sinks)",
    ),
    reads=(_METRIC,),
)
