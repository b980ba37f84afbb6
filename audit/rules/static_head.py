"""Flags heads whose attention does not depend on what they read."""

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.rules._reading import measured_texts, on_all, shown

_METRIC, _NULL = "input_divergence", "shuffled_divergence"


def judge(case: Case) -> Judgement:
    """A suspicion for each head that attends alike in all texts, on every text probe."""
    probes = measured_texts(case, _METRIC)
    if not probes:
        return NotMeasured(f"{_METRIC} was not measured on any text probe")
    flagged = []
    for first in case.cells(_METRIC, probes[0]):
        cells = on_all(case, _METRIC, probes, first.layer, first.head)
        if cells and all(cell.value <= case.thresholds["divergence"] for cell in cells):
            flagged.append(_suspicion(case, first, dict(zip(probes, cells, strict=True))))
    return tuple(flagged)


def _suspicion(case: Case, place: Cell, cells: dict[str, Cell]) -> Suspicion:
    nulls = {probe: case.cell(_NULL, probe, place.layer, place.head) for probe in cells}
    return Suspicion(
        layer=place.layer,
        head=place.head,
        statement=f"Head {place.head} of layer {place.layer} attends in the same way whatever the text: position "
        "alone decides.",
        evidence=tuple(
            shown(
                cell,
                _METRIC,
                probe,
                threshold=case.thresholds["divergence"],
                direction="below",
                null=null.value if (null := nulls[probe]) else None,
            )
            for probe, cell in cells.items()
        ),
        cause="a positional head (ordinary and useful: reading the previous token), or queries and keys that lost the "
        "text",
    )


RULE = Rule(
    name="static_head",
    title="Static head",
    summary="a head whose pattern is the same for every text",
    criterion="input_divergence <= `divergence` on every text probe",
    judge=judge,
    mitigation="None is needed where the pattern is a useful one, such as that of the previous token. It can be "
    "computed without queries and keys; a static pattern that training should have changed points at W_Q or W_K.",
    limits="Compares six fixed rows, sinks taken away, over at most 128 keys; a pattern that hangs on the end of the "
    "text, on its length or on one kind of token is not seen as static. Says nothing about usefulness.",
    references=("Voita et al. 2019 (positional heads)", "Clark et al. 2019, What Does BERT Look At?"),
    reads=(_METRIC,),
)
