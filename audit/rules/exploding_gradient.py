"""Flags models whose gradients grow without measure on their way back to the first layer."""

from audit.definitions import Case, Judgement, Rule, Suspicion
from audit.rules._gradients import MATRICES, STREAM, grown, unjudged


def judge(case: Case) -> Judgement:
    """One suspicion for each stack whose gradients grow towards its first layer on every text probe."""
    reason = unjudged(case)
    if reason is not None:
        return reason
    return tuple(
        Suspicion(
            statement=f"Gradients explode towards the first layer of the {stack}: the loss reacts {factor:.3g} times as "
            "strongly to a relative change there as at the last.",
            evidence=evidence,
            cause="branches too large beside the skip, norms missing or behind the additions, or weights that grew "
            "without bound",
        )
        for stack, factor, evidence in grown(case, backwards=True)
    )


RULE = Rule(
    name="exploding_gradient",
    title="Exploding gradient",
    summary="gradients that grow without measure from the last layer back to the first",
    criterion="on every text probe: hidden_gradient AND the median of value_gradient, output_gradient and mlp_gradient "
    "grow by `ratio` or more from the last layer of a stack to its first (median slope of the logs)",
    judge=judge,
    mitigation="In training: clip gradients, warm up longer, move to pre-norm or scale residual branches by 1/sqrt(depth).",
    limits="Seen from one checkpoint on a few texts, one backward pass each. Judged on gradients times the size of what "
    "they belong to: raw ones grow 18,700-fold in healthy models whose stream grows with depth. The threshold is this "
    "project's: none is published.",
    references=(
        "Xiong et al. 2020, arXiv 2002.04745 (layer norm and gradients)",
        "Cowsik et al. 2024, arXiv 2403.02579 (gradient exponent)",
    ),
    reads=(STREAM, *MATRICES),
)
