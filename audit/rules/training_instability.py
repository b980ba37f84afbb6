"""Flags checkpoints whose own record shows a training that diverged, rose again, spiked or swung."""

from collections.abc import Iterator

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.results import Confirmation, Evidence
from audit.results.training import Course, Excursion, SeriesName

_READ = Confirmation(status="absolute", reason="read from the record of the training: nothing to take out")
_PAST = Confirmation(
    status="not_attempted", reason="an event of the training: nothing to take out of the weights"
)
_SHOWN = 3  # spikes as evidence


def judge(case: Case) -> Judgement:
    """A suspicion for divergence (or a loss that rose again), one for spikes, a remark on a loss that swings."""
    training = case.training
    if training is None:
        return NotApplicable("no record of the training (trainer_state.json) stands with the checkpoint")
    went = training.course
    if went is None:
        reason = training.absent or "the record of the training was not read"
        return NotMeasured(reason) if reason in training.remarks else NotApplicable(reason)
    found = (*_broken(went), *_risen(case, went), *_spiked(case, went), *_swinging(case, went))
    if not found and went.absent:
        return NotMeasured(went.absent)
    return found


def _broken(went: Course) -> Iterator[Suspicion]:
    if went.broken_since is not None:
        yield Suspicion(
            about="diverged",
            statement=f"Training diverged: from step {went.broken_since} to its end the record holds no finite loss or no "
            "finite gradient norm.",
            evidence=(
                Evidence(
                    metric="logged losses and gradient norms that are not finite",
                    probe=None,
                    value=float(went.not_finite),
                    n=went.losses + went.norms,
                    threshold=0.0,
                    direction="above",
                ),
            ),
            cause="training dynamics: an update that overflowed, by its size or by the precision",
            confirmation=_READ,
        )


def _risen(case: Case, went: Course) -> Iterator[Suspicion]:
    """A loss that ends well above its lowest level; as high as at the start it has diverged."""
    if went.broken_since is not None or went.first is None or went.last is None or went.best is None:
        return
    limit = 1 + max(case.thresholds["rise"], 3 * (went.oscillation or 0.0))
    if went.last < limit * went.best:
        return
    diverged = went.last >= went.first
    yield Suspicion(
        about="diverged" if diverged else "risen",
        statement=f"The training loss ends at {went.last:.4g}, {went.last / went.best:.3g} times its lowest level "
        f"({went.best:.4g} at step {went.best_step})"
        + (f": no better than where it began ({went.first:.4g})." if diverged else "."),
        evidence=(
            Evidence(
                metric="training loss at the end over its lowest level",
                probe=None,
                value=went.last / went.best,
                n=went.losses,
                threshold=limit,
                direction="above",
            ),
        ),
        cause="training dynamics, or other data towards the end: the record does not decide",
        confirmation=_READ if diverged else _PAST,
    )


def _spiked(case: Case, went: Course) -> Iterator[Suspicion]:
    least = case.thresholds["spikes"]
    found = {
        "loss": spikes(case, went, "loss", "loss_ratio"),
        "gradient norm": spikes(case, went, "gradient norm", "gradient_ratio"),
    }
    counted = {name: each for name, each in found.items() if len(each) >= least}
    if not counted:
        return
    words = " and ".join(f"the {name} at {len(each)} logged steps" for name, each in counted.items())
    yield Suspicion(
        about="spikes",
        statement=f"Training was unsteady: {words} stood far above the values just before.",
        evidence=tuple(
            Evidence(
                metric=f"{each.series} at step {each.step} over the median before, in deviations",
                probe=None,
                value=each.deviations,
                threshold=case.thresholds["deviations"],
                direction="above",
            )
            for of in counted.values()
            for each in of[:_SHOWN]
        ),
        cause="steps too large for the curvature met, or batches unlike the others: the record does not decide",
        confirmation=_PAST,
    )


def spikes(case: Case, went: Course, series: SeriesName, ratio: str) -> list[Excursion]:
    """The excursions of a series that count by the policy, the furthest first."""
    return [
        each
        for each in went.excursions
        if each.series == series
        and each.deviations >= case.thresholds["deviations"]
        and each.value >= case.thresholds[ratio] * each.level
    ]


def _swinging(case: Case, went: Course) -> Iterator[Suspicion]:
    if went.oscillation is not None and went.oscillation >= case.thresholds["oscillation"]:
        yield Suspicion(
            about="oscillation",
            severity="info",
            statement=f"The logged training loss swings by {went.oscillation:.0%} of itself from line to line.",
            evidence=(
                Evidence(
                    metric="oscillation of the training loss",
                    probe=None,
                    value=went.oscillation,
                    n=went.losses,
                    threshold=case.thresholds["oscillation"],
                    direction="above",
                ),
            ),
            cause="not decidable: small batches and steps that are too large look alike in a record",
            confirmation=_PAST,
        )


RULE = Rule(
    name="training_instability",
    title="Training instability",
    summary="a training whose own record shows divergence, a rising loss or spikes",
    criterion="in trainer_state.json: losses or gradient norms that are never finite again; or a loss whose last tenth "
    "(median) is above its lowest tenth by `rise` and by 3 oscillations; or `spikes` or more logged values that are "
    "`deviations` robust standard deviations above the up to 50 before and `loss_ratio` (`gradient_ratio`) times their "
    "median; a remark where the oscillation is >= `oscillation`",
    judge=judge,
    mitigation="Go back to a checkpoint before the event; train on with a lower peak learning rate, a longer warm-up, "
    "clipped gradients, and a look at the batches of those steps.",
    limits="Rests on what was logged: a line stands for many steps, and a trainer may replace losses that are not finite "
    "by their mean. The thresholds are this project's, none is published: set well outside what two healthy logs of "
    "fine-tuning and simulated steady noise show, and not yet tried on a larger set of records. Whether the weights are those of the last step the record does not prove. Judged by medians; a level "
    "that rises because the data change looks the same.",
    references=(
        "OLMo 2, arXiv 2501.00656 (spikes of loss and gradient in training)",
        "Huang et al. 2025, arXiv 2501.06842 (SPAM: gradient spikes)",
        "Chowdhery et al. 2022, arXiv 2204.02311 (loss spikes, going back to an earlier checkpoint)",
    ),
)
