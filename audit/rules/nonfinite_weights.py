"""Flags checkpoints whose weights hold NaN or infinity."""

from audit.definitions import Case, Judgement, Rule, Suspicion
from audit.results import Confirmation, Evidence

_NAMED = 3  # tensors named in the statement; the rest is counted


def judge(case: Case) -> Judgement:
    """One suspicion naming the tensors, or none."""
    nonfinite = case.subject.nonfinite
    if not nonfinite:
        return ()
    named = ", ".join(f"{name} ({count})" for name, count in nonfinite[:_NAMED])
    others = len(nonfinite) - _NAMED
    total = sum(count for _, count in nonfinite)
    more = f" and {others} more" if others > 0 else ""
    return (
        Suspicion(
            statement=f"{len(nonfinite)} weight tensor{'s hold' if len(nonfinite) > 1 else ' holds'} NaN or infinite values: {named}{more}.",
            evidence=(
                Evidence(metric="nonfinite values", probe=None, value=total, threshold=0, direction="above"),
            ),
            cause="numerical overflow in training or a damaged conversion",
            confirmation=Confirmation(
                status="absolute", reason="counted in the loaded weights; no data involved"
            ),
        ),
    )


RULE = Rule(
    name="nonfinite_weights",
    title="Non-finite weights",
    summary="weights that hold NaN or infinity",
    criterion="any weight the model uses is NaN or infinite",
    judge=judge,
    mitigation="Do not promote. Go back to the last finite checkpoint; lower the learning rate or keep float32 "
    "master weights; if the training copy is finite, repeat the conversion.",
    limits="Counts the weights the model uses, in the precision of this audit; tensors that the architecture leaves "
    "unused are named among the remarks and not counted.",
    references=(),
)
