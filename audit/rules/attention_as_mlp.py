"""Flags attention layers that treat every token by itself, as an MLP would."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._reading import measured_texts, shown, upper

_MIXING, _SHARE, _INFLUENCE = "mixing_ratio", "attention_share", "attention_influence"


def judge(case: Case) -> Judgement:
    """A suspicion for each layer that mixes no tokens, or whose attention adds next to nothing."""
    probes = sorted({*measured_texts(case, _MIXING), *measured_texts(case, _SHARE)})
    if not probes:
        return NotMeasured(f"neither {_MIXING} nor {_SHARE} was measured on any text probe")
    flagged = []
    for layer in case.coverage.layers:
        for which, words in ((_local, "reads each token by itself"), (_silent, "adds next to nothing")):
            evidence = [which(case, probe, layer.index) for probe in probes]
            if all(evidence):
                numbers = tuple(item for items in evidence for item in items)
                flagged.append(_suspicion(layer.index, words, numbers))
                break
    return tuple(flagged)


def _local(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    """The head that mixes most, where it mixes too little."""
    heads = [cell for cell in case.cells(_MIXING, probe) if cell.layer == layer]
    limit = case.thresholds["mixing"]
    if not heads or max(upper(cell) for cell in heads) > limit:
        return ()
    null = case.null(_MIXING, "other_heads", layer)
    most = max(heads, key=lambda cell: cell.value)
    return (
        shown(most, _MIXING, probe, threshold=limit, direction="below", null=null.value if null else None),
    )


def _silent(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    """What the attention adds beside the MLP and beside the stream, where both are too little.

    Beside an MLP that adds a huge vector alone, an attention that works as it should looks small.
    """
    share, turned = (case.cell(metric, probe, layer) for metric in (_SHARE, _INFLUENCE))
    limit, turn = case.thresholds["share"], case.thresholds["influence"]
    if share is None or turned is None or upper(share) > limit or upper(turned) > turn:
        return ()
    null = case.null(_SHARE, "other_layers", layer)
    return (
        shown(share, _SHARE, probe, threshold=limit, direction="below", null=null.value if null else None),
        shown(turned, _INFLUENCE, probe, threshold=turn, direction="below"),
    )


def _suspicion(layer: int, words: str, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=layer,
        statement=f"Attention layer {layer} {words}: its block looks like an MLP, in which no token learns of another.",
        evidence=evidence,
        cause="attention on the own token only, or values and output projections that hardly grew",
    )


RULE = Rule(
    name="attention_as_mlp",
    title="Attention as MLP",
    summary="an attention layer that exchanges nothing between tokens",
    criterion="on every text probe: 95% upper bound of mixing_ratio of EVERY head <= `mixing`, OR 95% upper bounds of "
    "attention_share <= `share` AND attention_influence <= `influence`",
    judge=judge,
    mitigation="If ablation confirms it (own token only, even attention and mean outputs all cost nothing): drop the "
    "attention sublayer or fold it into the MLP; in training, look at what keeps queries and keys small.",
    limits="Attention on the own token is local and may still matter: without ablation this is a suspicion. Norms are "
    "taken before W_O, and a constant output of a sink counts as mixing.",
    references=(
        "Kobayashi et al. 2021 (mixing ratio)",
        "He et al. 2024, arXiv 2406.15786 (attention layers that can be dropped)",
    ),
    reads=(_MIXING, _SHARE, _INFLUENCE),
)
