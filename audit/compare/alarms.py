"""Warns of a collapse that a series of checkpoints shows in its attention while the loss may still look fine.

A warning is a rule on intervals over texts (95%, studentised bootstrap, of the mean over the heads of a layer), never on
the loss, and never on a level alone: what a model is like all along is for the rules of one audit.

- Entropy collapse: scores spread `TURNING` times as far as what freezes random ones, attention is more concentrated than
  at their freezing point, and the spread has grown by half since the first checkpoint. Random scores of spread s give a
  squared gradient of W_Q in proportion to m (1 - m), m = critical spread / s: it is greatest at m = 1/2 and fades beyond,
  so from there on the sharper attention is, the less there is to undo it. Layer means of trained models lie below:
  at most 1.39 (SmolLM2-135M), 0.84 (all-MiniLM-L6-v2), 0.59 (four small GPTs trained at a sane rate).
- Rank collapse: at this checkpoint and the one before, tokens are as alike as the rule `rank_collapse_depth` allows at
  most, with and without the sinks, and what tells them apart has halved since it was largest. Two checkpoints, for at
  the beginning of a healthy training all tokens predict the same for a while.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from audit.compare.layer_means import LayerMeans
from audit.compare.records import Alarm, Point, RecordedLoss, Sign, Step
from audit.statistics.bootstrap import MINIMUM_DOCUMENTS, studentised_interval

Array = NDArray[np.float64]

TURNING = 2.0
FROZEN = 0.43  # entropy of random scores at their freezing point, of the possible, at 128 keys
GROWN = 1.5
ALIKE = 0.99
_FINE = 1.1  # a loss within a tenth of its lowest looks fine
NEEDED = ("freezing", "attention_entropy", "token_similarity", "token_similarity_without_sink")
_ENTROPY_WHY = (
    "Weights of queries and keys grow, so do scores, and attention freezes onto a few keys. Past twice the freezing point "
    "of random scores, the sharper attention is, the weaker the gradient that could undo it; trainings that lose their "
    "attention entropy diverge."
)
_RANK_WHY = (
    "Tokens become one vector: attention can no longer tell them apart, and the gradients of queries and keys vanish "
    "with what tells them apart."
)
_ENTROPY_REFERENCES = (
    "Zhai et al. 2023, arXiv 2303.06296 (attention entropy collapse before divergence)",
    "Giorlandino and Goldt, arXiv 2505.24333 (freezing of random scores; the fading of its gradient is worked out here)",
)
_RANK_REFERENCES = ("Noci et al. 2022, arXiv 2206.03126 (rank collapse and vanishing gradients)",)


def alarms(means: LayerMeans, steps: Sequence[Step]) -> Iterator[Alarm]:
    """Each kind of collapse at the probe and step that show it first."""
    for kind in (_entropy, _rank):
        found = [alarm for probe in means.texts if (alarm := kind(means, probe, steps))]
        if found:
            yield min(found, key=lambda alarm: alarm.step)


def unmeasured(means: LayerMeans) -> str | None:
    """Why no warning could be given, where that is so."""
    lacking = [name for name in NEEDED if all(means.values(name, probe) is None for probe in means.texts)]
    if lacking:
        return (
            f"not every sign of a collapse could be looked for: {', '.join(lacking)} was not measured in all audits; "
            "`attnaudit series` measures what is needed"
        )
    counts = [np.isfinite(each).any(1).sum() for each in means.values(NEEDED[0], means.texts[0]) or ()]
    if counts and max(counts) < MINIMUM_DOCUMENTS:
        return (
            f"{max(counts)} texts are too few for intervals ({MINIMUM_DOCUMENTS} are needed), and without them nothing is "
            "warned of"
        )
    return None


def _entropy(means: LayerMeans, probe: str, steps: Sequence[Step]) -> Alarm | None:
    spread, entropy = means.values("freezing", probe), means.values("attention_entropy", probe)
    if spread is None or entropy is None:
        return None
    flags = [
        _above(now, TURNING, means.seed)
        & _above(FROZEN - entropies, 0.0, means.seed)
        & _above(now - GROWN * spread[0], 0.0, means.seed)
        for now, entropies in zip(spread, entropy, strict=True)
    ]
    at = _first(flags, spread)
    if at is None:
        return None
    step, layer = at
    signs = (
        Sign(
            metric="freezing",
            probe=probe,
            first=means.point(spread[0], layer),
            now=means.point(spread[step], layer),
            threshold=TURNING,
            direction="above",
        ),
        Sign(
            metric="attention_entropy",
            probe=probe,
            first=means.point(entropy[0], layer),
            now=means.point(entropy[step], layer),
            threshold=FROZEN,
            direction="below",
        ),
    )
    return Alarm(
        kind="entropy collapse",
        step=step,
        steps=tuple(index for index, each in enumerate(flags) if each.any()),
        layer=layer,
        signs=signs,
        statement=f"At {steps[step].label} attention freezes in layer {layer}: its scores spread {_said(signs[0].now)} times "
        f"as far as what freezes random ones ({_said(signs[0].first)} at {steps[0].label}), and its entropy is "
        f"{_said(signs[1].now)} of the possible ({_said(signs[1].first)}). {_standing(steps[step].loss)}",
        why=_ENTROPY_WHY,
        references=_ENTROPY_REFERENCES,
    )


def _rank(means: LayerMeans, probe: str, steps: Sequence[Step]) -> Alarm | None:
    raw = means.values("token_similarity", probe)
    clean = means.values("token_similarity_without_sink", probe)
    if raw is None or clean is None:
        return None
    alike = [
        _above(one, ALIKE, means.seed) & _above(other, ALIKE, means.seed)
        for one, other in zip(raw, clean, strict=True)
    ]
    flags = [np.zeros_like(alike[0])]
    for step in range(1, len(raw)):
        apart = 1 - _lowest(raw[:step])
        halved = _above(apart - 2 * (1 - raw[step]), 0.0, means.seed)
        flags.append(alike[step] & alike[step - 1] & halved)
    at = _first(flags, raw)
    if at is None:
        return None
    step, layer = at
    signs = tuple(
        Sign(
            metric=metric,
            probe=probe,
            first=means.point(values[0], layer),
            now=means.point(values[step], layer),
            threshold=ALIKE,
            direction="above",
        )
        for metric, values in (("token_similarity", raw), ("token_similarity_without_sink", clean))
    )
    return Alarm(
        kind="rank collapse",
        step=step,
        steps=tuple(index for index, each in enumerate(flags) if each.any()),
        layer=layer,
        signs=signs,
        statement=f"At {steps[step].label} the tokens that leave layer {layer} have a mean cosine of {_said(signs[0].now)} "
        f"({_said(signs[0].first)} at {steps[0].label}), and had it at {steps[step - 1].label}. "
        f"{_standing(steps[step].loss)}",
        why=_RANK_WHY,
        references=_RANK_REFERENCES,
    )


def _above(values: Array, limit: float, seed: int) -> NDArray[np.bool_]:
    """Whether the whole interval of a layer's mean lies above `limit`, [layer]; False where there is no interval."""
    return studentised_interval(values, seed=seed).low > limit


def _lowest(earlier: Sequence[Array]) -> Array:
    """Of the earlier steps, each layer's values where its mean was lowest, [sample, layer]."""
    stacked = np.stack(earlier)
    means = np.where(np.isfinite(stacked), stacked, np.inf).mean(1)
    lowest: Array = np.take_along_axis(stacked, means.argmin(0)[None, None, :], 0)[0]
    return lowest


def _first(flags: Sequence[NDArray[np.bool_]], values: Sequence[Array]) -> tuple[int, int] | None:
    """The first step that is flagged anywhere, and its flagged layer that is furthest."""
    for step, flagged in enumerate(flags):
        if flagged.any():
            level = np.where(flagged, np.nan_to_num(values[step]).mean(0), -np.inf)
            return step, int(level.argmax())
    return None


def _said(point: Point) -> str:
    return "none" if point.value is None else f"{point.value:.3g}"


def _standing(loss: RecordedLoss | None) -> str:
    """How the loss stood there, for whoever wonders why it did not show."""
    if loss is None:
        return "No record of the loss stands with it."
    if loss.last is None or loss.lowest is None:
        return "The recorded loss is not finite there any more."
    share = loss.last / loss.lowest if loss.lowest > 0 else float("inf")
    if share <= _FINE:
        return f"The loss still looks fine: {loss.last:.3g} at step {loss.at}, its lowest so far {loss.lowest:.3g}."
    return (
        f"The loss shows it too: {loss.last:.3g} at step {loss.at}, its lowest so far was {loss.lowest:.3g}."
    )
