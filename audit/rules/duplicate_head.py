"""Flags heads that attend and write as another head of their layer does."""

from audit.definitions import Case, Cell, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.rules._reading import measured_texts, on_all, shown

_METRIC = "twin_similarity"


def judge(case: Case) -> Judgement:
    """A suspicion for each head that has a twin on every text probe."""
    if all(layer.heads < 2 for layer in case.coverage.layers):
        return NotApplicable("no layer has two heads")
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    alike = [cell for cell in case.cells(_METRIC, probes[0]) if _has_twin(case, probes, cell)]
    return tuple(_suspicion(case, probes, cell, alike) for cell in alike)


def _has_twin(case: Case, probes: list[str], place: Cell) -> bool:
    cells = on_all(case, _METRIC, probes, place.layer, place.head)
    return cells is not None and all(cell.value > case.thresholds["similarity"] for cell in cells)


def _suspicion(case: Case, probes: list[str], place: Cell, alike: list[Cell]) -> Suspicion:
    others = [str(cell.head) for cell in alike if cell.layer == place.layer and cell.head != place.head]
    twins = f"head {others[0]} does" if len(others) == 1 else f"another of the heads {', '.join(others)} does"
    layer = next(layer for layer in case.coverage.layers if layer.index == place.layer)
    shared = " Heads here share keys and values." if layer.kv_heads < layer.heads else ""
    null = case.null(_METRIC, "other_heads", place.layer)
    return Suspicion(
        layer=place.layer,
        head=place.head,
        statement=f"Head {place.head} of layer {place.layer} attends and writes nearly as {twins}.{shared}",
        evidence=tuple(
            shown(
                cell,
                _METRIC,
                probe,
                threshold=case.thresholds["similarity"],
                direction="above",
                null=null.high if null else None,
            )
            for probe in probes
            if (cell := case.cell(_METRIC, probe, place.layer, place.head)) is not None
        ),
        cause="copied weights (grown or merged models), equal initialisation, or heads that training never parted",
    )


RULE = Rule(
    name="duplicate_head",
    title="Duplicate head",
    summary="a head that attends and writes as another head of its layer does",
    criterion="twin_similarity > `similarity` on every text probe: outputs (CKA) and patterns both",
    judge=judge,
    mitigation="Fold one into the other: outputs that are linear images of each other can be merged in W_O. In "
    "training: check that heads are initialised with different seeds.",
    limits="Within one layer only; the exhibit of head similarity shows likeness between layers. Both heads of a pair "
    "are named, and removing both costs more than removing one.",
    references=(
        "Kornblith et al. 2019, arXiv 1905.00414 (CKA)",
        "Michel, Levy & Neubig 2019 (redundant heads)",
    ),
    reads=(_METRIC,),
)
