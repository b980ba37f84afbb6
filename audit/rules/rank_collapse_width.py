"""Flags layers whose attention is an average with noise on it, as random queries and keys make it."""

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._reading import measured_texts, on_all, shown, upper

_BEYOND, _NULL, _WHOLE, _TOKENS = (
    "centred_sigma_1",
    "turned_sigma_1",
    "sigma_1",
    "token_stable_rank_without_sink",
)


def judge(case: Case) -> Judgement:
    """A suspicion for each layer none of whose heads has structure beyond averaging, on every text probe."""
    probes = [
        probe
        for probe in measured_texts(case, _BEYOND)
        if any(case.cells(_NULL, probe)) and any(case.cells(_WHOLE, probe))
    ]
    if not probes:
        return NotMeasured(
            f"{_BEYOND}, {_NULL} and {_WHOLE} were not all measured on any text probe: --depth full does"
        )
    flagged = []
    for layer in sorted({cell.layer for cell in case.cells(_BEYOND, probes[0])}):
        evidence = [_evidence(case, probe, layer) for probe in probes]
        if all(evidence):
            flagged.append(_suspicion(layer, tuple(item for items in evidence for item in items)))
    return tuple(flagged)


def _evidence(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    """The head that comes nearest to structure, beside its null; empty where one head has some."""
    heads = [cell for cell in case.cells(_BEYOND, probe) if cell.layer == layer]
    limits = [_limit(case, probe, cell) for cell in heads]
    if not heads or any(
        limit is None or upper(cell) > limit for cell, limit in zip(heads, limits, strict=True)
    ):
        return ()
    best = max(heads, key=lambda cell: cell.value)
    null = case.cell(_NULL, probe, layer, best.head)
    tokens = on_all(case, _TOKENS, [probe], layer) or []
    return (
        shown(
            best,
            _BEYOND,
            probe,
            threshold=_limit(case, probe, best),
            direction="below",
            null=null.value if null else None,
        ),
        *(shown(cell, _TOKENS, probe) for cell in tokens),
    )


def _limit(case: Case, probe: str, head: Cell) -> float | None:
    """What a head may read and still count as an average: little beside the whole, and no more than its null."""
    whole, null = (case.cell(metric, probe, head.layer, head.head) for metric in (_WHOLE, _NULL))
    if whole is None or null is None:
        return None
    return min(case.thresholds["share"] * whole.value, case.thresholds["above_null"] * null.value)


def _suspicion(layer: int, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=layer,
        statement=f"Attention of layer {layer} only averages: what its heads do beyond that is as little, and as random, as "
        "if their queries knew nothing of their keys. Such attention leaves one direction of the tokens standing, the more "
        "so the longer the text.",
        evidence=evidence,
        cause="queries and keys that never grew from their initialisation, or were scaled away",
    )


RULE = Rule(
    name="rank_collapse_width",
    title="Rank collapse in width",
    summary="a layer whose attention is an average plus noise: one direction stands out by a spectral gap",
    criterion="on every text probe, in EVERY head of the layer: 95% upper bound of centred_sigma_1 <= `share` of sigma_1 AND "
    "<= `above_null` times turned_sigma_1",
    judge=judge,
    mitigation="Take the average out of the attention (A - 1/T, 'Mind the Gap'), raise the scale of W_Q and W_K, or train on: "
    "a freshly initialised model looks like this throughout.",
    limits="A layer may average on purpose: only taking it out tells whether it matters (attention_as_mlp, lazy_layer). The "
    "null turns the queries of each head at random and keeps its spread of scores; texts of at most 256 tokens.",
    references=("Nait Saada, Naderi and Tanner, ICML 2025, Mind the Gap, arXiv 2410.07799",),
    reads=(_BEYOND, _NULL, _WHOLE),
)
