"""Flags audits that did not see every softmax attention layer."""

from audit.definitions import Case, Judgement, Rule, Suspicion
from audit.results import Confirmation, Evidence


def judge(case: Case) -> Judgement:
    """One suspicion with the share of softmax attention layers that no metric saw, or none."""
    softmax = [layer for layer in case.coverage.layers if layer.heads > 0]  # 0 heads: another kind of mixer
    missed = [layer for layer in softmax if not layer.observed]
    share = len(missed) / len(softmax)
    if share <= case.thresholds["share"]:
        return ()
    reasons = "; ".join(sorted({layer.reason or "no reason known" for layer in missed}))
    return (
        Suspicion(
            statement=f"{len(missed)} of {len(softmax)} softmax attention layers were not observed: {reasons}.",
            evidence=(
                Evidence(
                    metric="share of unobserved layers",
                    probe=None,
                    value=share,
                    threshold=case.thresholds["share"],
                    direction="above",
                ),
            ),
            cause="the family's code takes a path that this audit cannot watch",
            confirmation=Confirmation(status="absolute", reason="counted in the pass"),
        ),
    )


RULE = Rule(
    name="unobserved_layers",
    title="Unobserved layers",
    summary="softmax attention layers that the audit could not see",
    criterion="share of softmax attention layers not observed > `share`",
    judge=judge,
    mitigation="Read the verdict as one on the observed layers only.",
    limits="Layers of another kind (linear attention, state space, convolution) are listed in the coverage and "
    "not counted here.",
    references=(),
)
