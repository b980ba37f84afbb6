"""Flags models whose gradients die out: towards the first layer, or at the queries and keys of a layer."""

from collections.abc import Iterator

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._gradients import MATRICES, STREAM, grown, unjudged
from audit.rules._reading import measured_texts, on_all, shown

_SHARP, _VALUE = ("query_gradient", "key_gradient"), "value_gradient"


def judge(case: Case) -> Judgement:
    """A suspicion for each stack whose gradients fade, and for each layer whose queries and keys get next to none."""
    reason = unjudged(case)
    if isinstance(reason, NotMeasured):
        return reason
    deaf = tuple(_deaf(case))
    if isinstance(reason, NotApplicable):
        return deaf or reason
    faded = tuple(
        Suspicion(
            statement=f"Gradients vanish towards the first layer of the {stack}: the loss reacts {1 / factor:.3g} times "
            "less to a relative change there than at the last.",
            evidence=evidence,
            cause="what early layers write is lost on the way: tokens made alike, branches that overwrite the stream, or "
            "skips that are too weak",
        )
        for stack, factor, evidence in grown(case, backwards=False)
    )
    return (*faded, *deaf)


def _deaf(case: Case) -> Iterator[Suspicion]:
    """Layers in which the loss hangs on the values and hardly on which token attends to which."""
    probes = measured_texts(case, _VALUE)
    for layer in sorted({cell.layer for probe in probes for cell in case.cells(_VALUE, probe)}):
        evidence = [_beside_values(case, probe, layer) for probe in probes]
        if all(evidence):
            yield Suspicion(
                layer=layer,
                statement=f"Queries and keys of layer {layer} get next to no gradient while its values do: the loss does "
                "not hang on which token attends to which, and training cannot change that.",
                evidence=tuple(item for items in evidence for item in items),
                cause="tokens too alike to be told apart (rank collapse), or scores too small or too large for the "
                "softmax to answer",
            )


def _beside_values(case: Case, probe: str, layer: int) -> tuple[Evidence, ...]:
    value = case.cell(_VALUE, probe, layer)
    both = [on_all(case, metric, [probe], layer) for metric in _SHARP]
    if value is None or value.value <= 0 or not all(both):
        return ()
    limit = case.thresholds["share"] * value.value
    cells = [found[0] for found in both if found]
    if any(cell.value > limit for cell in cells):
        return ()
    return (
        *(shown(c, m, probe, threshold=limit, direction="below") for m, c in zip(_SHARP, cells, strict=True)),
        shown(value, _VALUE, probe),
    )


RULE = Rule(
    name="vanishing_gradient",
    title="Vanishing gradient",
    summary="gradients that die out towards the first layer, or at the queries and keys of a layer",
    criterion="on every text probe: hidden_gradient AND the median of value_gradient, output_gradient and mlp_gradient "
    "fall to 1/`ratio` or less from the last layer of a stack to its first (median slope of the logs); or, in a layer, "
    "query_gradient AND key_gradient <= `share` of value_gradient",
    judge=judge,
    mitigation="Find what makes tokens alike first (rank_collapse_depth, init_rank_collapse): with skips and pre-norm the "
    "gradient cannot vanish unless the information does. Then scale residual branches or raise the scale of W_Q and W_K.",
    limits="Seen from one checkpoint on a few texts, one backward pass each; a model that has learnt its texts by heart has "
    "small gradients everywhere, which is no trend over depth. Both thresholds are this project's: none is published.",
    references=(
        "Noci et al. 2022, arXiv 2206.03126 (gradients of queries and keys vanish under rank collapse)",
        "Cowsik et al. 2024, arXiv 2403.02579 (gradient exponent)",
    ),
    reads=(STREAM, *MATRICES),
)
