"""Flags models that make no use of what they read far back, although they do of what they read just before."""

from audit.definitions import Case, Judgement, NotApplicable, NotMeasured, Rule, Suspicion
from audit.results import Confirmation, Evidence
from audit.results.reach import Kept, Reach, Repeat

_FAR = "far_mass"


def judge(case: Case) -> Judgement:
    """A suspicion where far context is worth nothing, and one where it harms."""
    reach = case.reach
    if case.subject.task != "causal":
        return NotApplicable("the model does not predict the next token from the text before it")
    if reach is None:
        return NotMeasured("what far context is worth was not measured: --depth full does")
    if reach.absent is not None:
        return (
            NotApplicable(reach.absent) if reach.window and not reach.measure else NotMeasured(reach.absent)
        )
    if reach.kept[-1].low is None:
        return NotMeasured(f"{reach.kept[-1].n} documents are too few (16 are needed)")
    said = (*_forgets(case, reach), *_harmed(reach))
    if not said and not _copies(case, reach):
        near = reach.repeats[0]
        return NotMeasured(
            f"the model does not use a passage again that stands {near.distance} tokens back, so that nothing can be "
            "said of farther ones"
        )
    return said


def _copies(case: Case, reach: Reach) -> bool:
    near = reach.repeats[0]
    return near.low is not None and near.low >= case.thresholds["copies"]


def _forgets(case: Case, reach: Reach) -> tuple[Suspicion, ...]:
    """Where neither these texts nor a repeated passage show any use of what stands far back."""
    near, lost = reach.repeats[0], _lost(case, reach)
    if lost is None or near.gain is None or reach.margin is None:
        return ()
    beyond = [kept for kept in reach.kept[:-1] if kept.tokens >= lost.distance] or [reach.kept[-2]]
    if any(kept.low is None or kept.low > reach.margin for kept in beyond):
        return ()
    return (
        Suspicion(
            statement=f"The model forgets: a passage that stood {near.distance} tokens before is worth {near.gain:.2f} "
            f"{reach.unit} when it comes again, one that stood {lost.distance} tokens before {lost.gain:.2f}. Nor do these "
            f"texts show any use of what stands more than {beyond[0].tokens} tokens back, with room for {reach.window}.",
            evidence=(
                _repeat(reach, lost, null=near.gain, threshold=case.thresholds["share"] * near.gain),
                _repeat(reach, near),
                *(_kept(reach, kept) for kept in beyond),
                *_farthest(case, reach),
            ),
            cause=_cause(reach),
            confirmation=Confirmation(
                status="confirmed",
                reason=f"what is far back was exchanged, on {lost.n} documents, with everything else as it was: a passage "
                f"that is repeated {lost.distance} tokens later is read as if another had stood there",
            ),
        ),
    )


def _lost(case: Case, reach: Reach) -> Repeat | None:
    """The nearest distance from which on a repeated passage is worth next to nothing; None where there is none."""
    near, lost = reach.repeats[0], None
    if near.gain is None or not _copies(case, reach):
        return None
    for repeat in reversed(reach.repeats[1:]):
        if repeat.high is None or repeat.high > case.thresholds["share"] * near.gain:
            break
        lost = repeat
    return lost


def _harmed(reach: Reach) -> tuple[Suspicion, ...]:
    """Where the model does surely worse with all of the context than with less."""
    worse = [
        kept
        for kept in reach.kept[:-1]
        if reach.margin is not None and kept.high is not None and kept.high < -reach.margin
    ]
    if not worse:
        return ()
    best = min(worse, key=lambda kept: kept.effect or 0.0)
    return (
        Suspicion(
            statement=f"More text makes it worse: with {reach.kept[-1].tokens} tokens before them, the loss of the same "
            f"tokens is {-(best.effect or 0.0):.2f} {reach.unit} higher than with {best.tokens}.",
            evidence=(_kept(reach, best),),
            cause="positions that training never or rarely reached, or attention that spreads over more keys than it knows",
            about="harm",
        ),
    )


def _cause(reach: Reach) -> str:
    scheme = reach.decay.scheme
    if scheme == "sinusoidal table":
        return (
            "attention that follows the likeness of sinusoidal positions, which falls with distance, or training on texts "
            "that never needed far context"
        )
    return "training on texts that never needed far context, or attention that falls off with distance"


def _repeat(
    reach: Reach, repeat: Repeat, *, null: float | None = None, threshold: float | None = None
) -> Evidence:
    return Evidence(
        metric=f"gain from a passage {repeat.distance} tokens back ({reach.unit})",
        probe=reach.probe,
        value=repeat.gain,
        low=repeat.low,
        high=repeat.high,
        n=repeat.n,
        null=null,
        threshold=threshold,
        direction=None if threshold is None else "below",
    )


def _kept(reach: Reach, kept: Kept) -> Evidence:
    return Evidence(
        metric=f"loss by which {kept.tokens} tokens of context fall short of {reach.kept[-1].tokens}",
        probe=reach.probe,
        value=kept.effect,
        low=kept.low,
        high=kept.high,
        n=kept.n,
        threshold=reach.margin,
        direction="below",
    )


def _farthest(case: Case, reach: Reach) -> tuple[Evidence, ...]:
    """The head that reaches farthest back."""
    cells = list(case.cells(_FAR, reach.probe or ""))
    best = max(cells, key=lambda cell: cell.value, default=None)
    return (
        ()
        if best is None
        else (
            Evidence(
                metric=_FAR, probe=reach.probe, value=best.value, low=best.low, high=best.high, n=best.n
            ),
        )
    )


RULE = Rule(
    name="long_range_forgetting",
    title="Long-range forgetting",
    summary="a model that makes no use of what it read far back",
    criterion="a passage that comes again after one passage's length is worth >= `copies` nats per token (95% lower bound), "
    "from some distance on <= `share` of that (95% upper bound), AND context beyond that distance lowers the loss of these "
    "texts by no more than the margin for certain; or the loss is surely higher with more context",
    judge=judge,
    mitigation="Train on with texts that need what stands far back; for sinusoidal positions prefer rotary or relative ones, "
    "for rotary ones a larger base. Until then cut texts to what the model uses: the rest costs and adds nothing.",
    limits="Causal models, on windows of 128 tokens and more; nothing is said beyond the longest window. A model with a "
    "sliding window forgets by design. A model that does not copy at all cannot be told to forget. How positions "
    "fade by themselves is shown with the experiments and decides nothing.",
    references=(
        "Men et al. 2024, Base of RoPE Bounds Context Length, arXiv 2405.14591",
        "Olsson et al. 2022, In-context Learning and Induction Heads (repeated passages)",
    ),
)
