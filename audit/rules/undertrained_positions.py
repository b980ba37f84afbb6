"""Flags learned positions that training never reached."""

from audit.definitions import Case, Judgement, NotApplicable, Rule, Suspicion
from audit.results import Confirmation, Evidence


def judge(case: Case) -> Judgement:
    """One suspicion that names the rows of the position table that look as they were drawn, or none."""
    subject = case.subject
    if not subject.positions:
        return NotApplicable("the model has no learned table of positions")
    count = sum(last - first + 1 for first, last in subject.untrained_positions)
    if count < case.thresholds["rows"]:
        return ()
    named = ", ".join(f"{first} to {last}" for first, last in subject.untrained_positions)
    return (
        Suspicion(
            statement=f"{count} of {subject.positions} positions ({named}) look as if training never reached them: "
            "their vectors are not like their neighbours'. Longer texts run on noise there.",
            evidence=(
                Evidence(
                    metric="positions unlike their neighbours",
                    probe=None,
                    value=float(count),
                    threshold=case.thresholds["rows"],
                    direction="above",
                ),
            ),
            cause="training data: texts shorter than the positions the model has",
            confirmation=Confirmation(status="absolute", reason="read from the weights"),
        ),
    )


RULE = Rule(
    name="undertrained_positions",
    title="Undertrained positions",
    summary="learned positions that training never reached",
    criterion="rows of a learned position table, in runs of 8 and more, whose cosine with both neighbours is that of rows "
    "as drawn (below 4/sqrt(width)) in a table of alike neighbours: >= `rows`",
    judge=judge,
    mitigation="Cut texts to the positions that were trained, or train on with texts as long as those in use.",
    limits="Looks at learned tables only: how far a rotary or sinusoidal model reaches is not in its weights. Rows that "
    "training reached rarely may look trained.",
    references=(),
)
