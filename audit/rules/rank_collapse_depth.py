"""Flags models whose tokens became one common vector towards the end of the depth."""

from typing import Literal

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._reading import measured_texts, shown

_SIMILARITY, _RANK = "token_similarity_without_sink", "token_effective_rank"
_ANGLE = "angle_exponent"
_BESIDE = ("token_residual", "token_residual_1_inf", "query_gradient", "key_gradient", "value_gradient")


def judge(case: Case) -> Judgement:
    """One suspicion at the first layer from which the tokens stay collapsed to the end, on every text probe."""
    probes = [probe for probe in measured_texts(case, _SIMILARITY) if any(case.cells(_RANK, probe))]
    if not probes:
        return NotMeasured(f"{_SIMILARITY} and {_RANK} were not both measured on any text probe")
    onsets = [_onset(case, probe) for probe in probes]
    reached = [layer for layer in onsets if layer is not None]
    if len(reached) < len(onsets):
        return ()
    layer = max(reached)
    depth = max(cell.layer for cell in case.cells(_SIMILARITY, probes[0]))
    evidence = tuple(item for probe in probes for item in _evidence(case, probe, depth))
    turned = [angle for probe in probes if (angle := _turned(case, probe, layer)) is not None]
    born = bool(turned) and min(turned) > case.thresholds["angle"]
    return (
        Suspicion(
            layer=layer,
            statement=f"From layer {layer} to the last, the tokens are nearly one common vector: what distinguishes "
            "them is lost to every later layer.",
            evidence=evidence,
            cause="tokens that were alike before the first block: embeddings, or a norm on them, that no longer tell "
            "tokens apart; the blocks up to here did not bring them together"
            if born
            else "attention averages tokens faster than skips and MLPs tell them apart: weak skips, a missing "
            "residual scale or too small queries and keys",
        ),
    )


def _onset(case: Case, probe: str) -> int | None:
    """The first layer from which every later one is collapsed too; None where the last is not."""
    onset = None
    for cell in reversed(list(case.cells(_SIMILARITY, probe))):
        if not _collapsed(case, probe, cell):
            break
        onset = cell.layer
    return onset


def _collapsed(case: Case, probe: str, similarity: Cell) -> bool:
    rank = case.cell(_RANK, probe, similarity.layer)
    lower = similarity.value if similarity.low is None else similarity.low
    few = rank is not None and rank.value <= case.thresholds["effective_rank"]
    return lower >= case.thresholds["similarity"] and few


def _turned(case: Case, probe: str, onset: int) -> float | None:
    """How far the blocks up to the onset brought tokens together: the sum of their angle exponents."""
    exponents = [cell.value for cell in case.cells(_ANGLE, probe) if cell.layer <= onset]
    return sum(exponents) if exponents else None


def _evidence(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    """Similarity and rank of the last layer, and what else was measured of it: two norms, and what gradients say."""
    limits: tuple[tuple[str, str, Literal["above", "below"]], ...] = (
        (_SIMILARITY, "similarity", "above"),
        (_RANK, "effective_rank", "below"),
    )
    judged = [
        shown(cell, metric, probe, threshold=case.thresholds[threshold], direction=side)
        for metric, threshold, side in limits
        if (cell := case.cell(metric, probe, layer)) is not None
    ]
    beside = [shown(cell, metric, probe) for metric in _BESIDE if (cell := case.cell(metric, probe, layer))]
    return (*judged, *beside)


RULE = Rule(
    name="rank_collapse_depth",
    title="Rank collapse in depth",
    summary="tokens that became one common vector towards the last layers",
    criterion="from some layer to the last: 95% lower bound of token_similarity_without_sink >= `similarity` AND "
    "token_effective_rank <= `effective_rank`, on every text probe",
    judge=judge,
    mitigation="Scale residual branches by 1/sqrt(depth), strengthen the skips, move to pre-norm, or raise the initial "
    "scale of W_Q and W_K: all of these need training. What another residual scale does without it is tried.",
    limits="Healthy causal models reach a raw cosine of 0.97 by a few massive channels; the effective rank guards "
    "against that, and the standardised similarity, which hides a collapse, is never asked. Residual ratios and gradients "
    "are shown beside and do not decide: sinks and the size of weights move them. Where the sum of angle exponents up to "
    "the onset is above `angle`, the blocks are not what brought the tokens together.",
    references=(
        "Dong, Cordonnier & Loukas 2021 (attention loses rank doubly exponentially with depth)",
        "Noci et al. 2022, arXiv 2206.03126",
    ),
    reads=(_SIMILARITY, _RANK),
)
