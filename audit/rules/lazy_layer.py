"""Flags attention layers whose best head is nearly of rank one and which hardly turn the stream."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._reading import measured_texts, on_all, shown, upper

_RANK, _INFLUENCE = "attention_rank", "attention_influence"
_PUBLISHED = ("max_rank_100", "average_rank_100", "mass_columns_100")


def judge(case: Case) -> Judgement:
    """A suspicion for each attention layer that looks lazy on every text probe."""
    probes = [probe for probe in measured_texts(case, _RANK) if any(case.cells(_INFLUENCE, probe))]
    if not probes:
        return NotMeasured(f"{_RANK} and {_INFLUENCE} were not both measured on any text probe")
    flagged = []
    for layer in sorted({cell.layer for cell in case.cells(_RANK, probes[0])}):
        evidence = [_evidence(case, probe, layer) for probe in probes]
        if all(evidence):
            flagged.append(_suspicion(layer, tuple(item for items in evidence for item in items)))
    return tuple(flagged)


def _evidence(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    """The numbers that make this layer lazy on `probe`; empty when it is not."""
    heads = [cell for cell in case.cells(_RANK, probe) if cell.layer == layer]
    turned = on_all(case, _INFLUENCE, [probe], layer)
    if not heads or not turned:
        return ()
    best = max(heads, key=lambda cell: cell.value)
    rank, influence = case.thresholds["rank"], case.thresholds["influence"]
    if max(upper(cell) for cell in heads) > rank or upper(turned[0]) > influence:
        return ()
    null = case.null(_RANK, "random_scores", layer, best.head)
    published = [
        shown(cell, metric, probe) for metric in _PUBLISHED if (cell := case.cell(metric, probe, layer))
    ]
    return (
        shown(best, _RANK, probe, threshold=rank, direction="below", null=null.value if null else None),
        shown(turned[0], _INFLUENCE, probe, threshold=influence, direction="below"),
        *published,
    )


def _suspicion(layer: int, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=layer,
        statement=f"Attention layer {layer} looks lazy: even its best head is nearly of rank one, and what it adds hardly "
        "turns the tokens.",
        evidence=evidence,
        cause="depth that training did not need: attention of late layers settled on one mixture for all queries",
    )


RULE = Rule(
    name="lazy_layer",
    title="Lazy layer",
    summary="an attention layer whose best head is nearly of rank one and which hardly changes the tokens",
    criterion="on every text probe: 95% upper bound of attention_rank of EVERY head <= `rank` AND 95% upper bound of "
    "attention_influence <= `influence`",
    judge=judge,
    mitigation="If ablation confirms it: drop the attention sublayer, or train a shallower model from the layers before "
    "it (Inheritune).",
    limits="Rank one alone is no fault: even attention and pure sinks have it, and so have re-initialised encoders. Only "
    "taking the attention out tells whether it matters. Ranks by the published protocol (100 sequences of 100 tokens) "
    "are shown beside at depth full, or where their metrics are named.",
    references=(
        "Sanyal et al., arXiv 2404.08634 (lazy layers)",
        "He et al. 2024, arXiv 2406.15786 (attention layers that can be dropped)",
    ),
    reads=(_RANK, _INFLUENCE),
)
