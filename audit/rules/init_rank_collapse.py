"""Flags configurations whose tokens are one common vector before training begins."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._untrained import COMPUTED, mended, severity, why_absent


def judge(case: Case) -> Judgement:
    """One suspicion where the untrained stack, at its real depth and with its skips, ends with equal tokens."""
    here = case.trainability
    if here is None:
        return NotMeasured(why_absent(case))
    if here.point.similarity < case.thresholds["similarity"]:
        return ()
    entering = here.profile.similarity[0]
    return (
        Suspicion(
            statement=f"Untrained, this configuration ends in rank collapse: the cosine of two tokens goes from {entering:.2f} "
            f"to {here.point.similarity:.4f} over {here.point.depth} blocks, and next to no gradient reaches W_Q and W_K."
            + mended(here),
            evidence=(
                Evidence(
                    metric="token cosine after the last block, untrained",
                    probe=None,
                    value=here.point.similarity,
                    threshold=case.thresholds["similarity"],
                    direction="above",
                ),
            ),
            cause="initialisation: attention averages the tokens in every block faster than skips and MLPs keep them apart",
            confirmation=COMPUTED,
            severity=severity(here),
        ),
    )


RULE = Rule(
    name="init_rank_collapse",
    title="Rank collapse at initialisation",
    summary="tokens that are one common vector before training begins",
    criterion="theory of the untrained configuration at its real depth, skips included: token cosine after the last "
    "block >= `similarity`",
    judge=judge,
    mitigation="Before training again: draw the residual projections smaller by sqrt(2L), strengthen the skips, use fewer "
    "blocks or pre-norm. The trained weights are not touched by this.",
    limits="The theory takes independent Gaussian weights and unlike tokens; within .06 of simulations from 256 tokens and "
    "channels on. A checkpoint that trained well has overcome it: see the measured token similarity.",
    references=(
        "Giorlandino and Goldt 2025, arXiv 2505.24333 (the map, here at the real sequence length)",
        "Noci et al. 2022, arXiv 2206.03126 (rank collapse takes the gradient of queries and keys)",
    ),
)
