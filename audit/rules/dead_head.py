"""Flags heads that contribute nothing at all."""

from collections.abc import Iterator

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Confirmation, Evidence

_WEIGHTS = "weights"  # the pseudo-probe under which weight metrics are filed


def judge(case: Case) -> Judgement:
    """A suspicion for each head whose output, or whose slice of W_O, is zero next to the layer's mean head."""
    measured = [probe for probe in case.texts() if any(case.cells("head_output_norm", probe))]
    if not measured and not any(case.cells("output_weight_norm", _WEIGHTS)):
        return NotMeasured("neither head outputs nor output projections could be read")
    dead = {
        (cell.layer, cell.head): (cell, "head_output_norm", probe) for cell, probe in _silent(case, measured)
    }
    for cell in _unread(case):
        dead.setdefault((cell.layer, cell.head), (cell, "output_weight_norm", _WEIGHTS))
    return tuple(_suspicion(*dead[key], case.thresholds["output"]) for key in sorted(dead))


def _silent(case: Case, probes: list[str]) -> Iterator[tuple[Cell, str]]:
    """Heads whose output is zero on every text probe."""
    if not probes:
        return
    for cell in case.cells("head_output_norm", probes[0]):
        others = [case.cell("head_output_norm", probe, cell.layer, cell.head) for probe in probes]
        if all(other is not None and other.value <= case.thresholds["output"] for other in others):
            yield cell, probes[0]


def _unread(case: Case) -> Iterator[Cell]:
    """Heads whose slice of W_O is zero beside the mean slice of the layer."""
    cells = list(case.cells("output_weight_norm", _WEIGHTS))
    for cell in cells:
        layer = [other.value for other in cells if other.layer == cell.layer]
        if cell.value <= case.thresholds["output"] * sum(layer) / len(layer):
            yield cell


def _suspicion(cell: Cell, metric: str, probe: str, threshold: float) -> Suspicion:
    what = "output is zero on every text" if metric == "head_output_norm" else "slice of W_O is zero"
    return Suspicion(
        layer=cell.layer,
        head=cell.head,
        statement=f"Head {cell.head} of layer {cell.layer} contributes nothing: its {what}.",
        evidence=(
            Evidence(
                metric=metric,
                probe=probe,
                value=cell.value,
                low=cell.low,
                high=cell.high,
                n=cell.n,
                threshold=threshold,
                direction="below",
            ),
        ),
        cause="pruned on purpose, zero-initialised and never trained, or damaged in conversion",
        confirmation=Confirmation(status="absolute", reason="an output of zero changes nothing when removed"),
    )


RULE = Rule(
    name="dead_head",
    title="Dead head",
    summary="a head whose output, or whose part of the output projection, is zero",
    criterion="layer-normalised head output <= `output` on every text probe, or the head's slice of W_O has a norm "
    "<= `output` times the layer's mean",
    judge=judge,
    mitigation="Remove the head, or find out whether a conversion lost its weights.",
    limits="A head that is silent on these texts may speak on others; a zero slice of W_O needs no data.",
    references=("Michel, Levy & Neubig 2019 (head importance)", "Voita et al. 2019 (head pruning)"),
    reads=("head_output_norm", "output_weight_norm"),
)
