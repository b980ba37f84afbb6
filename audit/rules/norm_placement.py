"""Remarks on stacks whose norms stand behind the residual sums, or nowhere."""

from audit.definitions import Case, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence
from audit.rules._untrained import COMPUTED, why_absent

_SAYS = {
    "post": "Post-norm: the norms stand behind the residual sums, so that the skips are rescaled in every block.",
    "none": "No norm stands anywhere in a block, so that the size of the tokens is free to grow or fade.",
}


def judge(case: Case) -> Judgement:
    """A remark with what the other placement would do before training, or none for norms before the sublayers."""
    here = case.trainability
    if here is None:
        return NotMeasured(why_absent(case))
    if here.placement is None:
        return NotMeasured(f"where model type {here.model_type!r} has its norms is not known here")
    if here.placement not in _SAYS:
        return ()
    others = [change for change in here.changes if change.knob == "norm_placement" and change.after == "pre"]
    instead = (
        f", {others[0].similarity:.2f} with pre-norm" if others and others[0].similarity is not None else ""
    )
    return (
        Suspicion(
            statement=f"{_SAYS[here.placement]} Untrained, two tokens have cosine {here.point.similarity:.2f} after "
            f"{here.point.depth} blocks{instead}.",
            evidence=(
                Evidence(
                    metric="token cosine after the last block, untrained",
                    probe=None,
                    value=here.point.similarity,
                    null=others[0].similarity if others else None,
                ),
            ),
            cause="a choice of architecture, not a fault: it asks for a warm-up of the learning rate and limits the depth",
            confirmation=COMPUTED,
            severity="info",
        ),
    )


RULE = Rule(
    name="norm_placement",
    title="Norm placement",
    summary="norms behind the residual sums, or none at all",
    criterion="the model type places its norms behind the residual sums (post-norm), or has none",
    judge=judge,
    mitigation="Keep the warm-up when training on; for a deeper model of this kind prefer norms before the sublayers.",
    limits="Read from the model type, not from the weights. The null beside the cosine is the same stack with pre-norm.",
    references=("Xiong et al. 2020, arXiv 2002.04745 (post-norm needs warm-up, pre-norm does not)",),
)
