"""Flags configurations whose attention is frozen on few keys before training begins."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._untrained import COMPUTED, mended, severity, why_absent


def judge(case: Case) -> Judgement:
    """One suspicion where random scores of the first block are spread beyond their freezing point."""
    here = case.trainability
    if here is None:
        return NotMeasured(why_absent(case))
    if here.point.kappa < case.thresholds["freezing"]:
        return ()
    return (
        Suspicion(
            statement=f"Untrained, attention is frozen: a row of the first block rests on about {1 / here.point.own_overlap:.0f} "
            f"of {here.point.tokens} keys and keeps {here.point.entropy_share:.0%} of the largest entropy."
            + mended(here),
            evidence=(
                Evidence(
                    metric="score spread over its freezing point, untrained",
                    probe=None,
                    value=here.point.kappa,
                    threshold=case.thresholds["freezing"],
                    direction="above",
                ),
            ),
            cause="initialisation: queries and keys are drawn too large for their width, or scores are not scaled",
            confirmation=COMPUTED,
            severity=severity(here),
        ),
    )


RULE = Rule(
    name="init_entropy_collapse",
    title="Entropy collapse at initialisation",
    summary="attention frozen on few keys before training begins",
    criterion="theory of the untrained configuration: spread of the first block's scores over sqrt(2 log T) >= `freezing`",
    judge=judge,
    mitigation="Before training again: draw W_Q and W_K smaller, scale scores by 1/sqrt(head width), or norm queries and "
    "keys. The trained weights are not touched by this.",
    limits="The theory takes independent Gaussian weights; at finite T freezing is a gradual change around this point. A "
    "checkpoint that trained well has overcome it: see the measured entropy.",
    references=(
        "Giorlandino and Goldt 2025, arXiv 2505.24333 (freezing of the random energy model)",
        "Zhai et al. 2023, arXiv 2303.06296 (entropy collapse and unstable training)",
    ),
)
