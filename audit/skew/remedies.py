"""Remedies tried on the heads that stand out: what they do to the skew, to the output and to the loss."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.attention import Edit
from audit.models.observing import Editor
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing
from audit.results.demographics import SkewRemedy
from audit.skew.asking import Answers, Interview, counterparts, pair_of, partners
from audit.skew.design import Design
from audit.skew.ground import Ground
from audit.skew.readings import Reader, Readings
from audit.skew.shares import UNKNOWN, Share, of_differences, of_effect
from audit.skew.testing import Standing
from audit.statistics.bootstrap import studentised_interval
from audit.statistics.crossed import term_scores

Array = NDArray[np.float64]
Place = tuple[int, int]  # layer, head
Remedy = Callable[
    [AttentionObservation, Sequence[int], Sequence[int]], Edit
]  # heads, row of each counterpart


def _equalised(seen: AttentionObservation, heads: Sequence[int], order: Sequence[int]) -> Edit:
    """Both terms get the mean of their two patterns."""
    pattern = seen.pattern.clone()
    pattern[:, heads] = (seen.pattern[:, heads] + seen.pattern[order][:, heads]) / 2
    return Edit(pattern=pattern)


def _silenced(seen: AttentionObservation, heads: Sequence[int], _order: Sequence[int]) -> Edit:
    """Every token gets what the head gives on average over the sentences fed with it, and nothing of its own."""
    if seen.head_output is None:
        return Edit()
    output, real = seen.head_output.clone(), seen.queries[:, None, :, None]
    mean = torch.where(real, output, 0.0).sum((0, 2), keepdim=True) / real.sum()
    output[:, heads] = mean[:, heads].expand_as(output[:, heads])
    return Edit(head_output=output)


REMEDIES: Mapping[str, Remedy] = MappingProxyType({"equalised": _equalised, "silenced": _silenced})


class Trial(NamedTuple):
    """The heads to treat, and how things stood before."""

    ground: Ground
    made: Design
    interview: Interview
    places: Sequence[Place]
    before: Readings
    standing: Standing

    def of(self, name: str) -> SkewRemedy:
        """What is left of skew and output, and how much the loss rises, with that remedy in force."""
        after = Readings.blank(self.made, self.ground.layers)
        answers = self.interview.changed(
            lambda crossing: self._editor(crossing, REMEDIES[name], after), layer=min(self.places)[0]
        )
        skew, output, loss = self._skew(after), self._output(answers), self._loss(answers)
        return SkewRemedy(
            name=name,
            heads=len(self.places),
            skew=rounded(skew.value, 4),
            skew_low=rounded(skew.low, 4),
            skew_high=rounded(skew.high, 4),
            output=rounded(output.value, 4),
            output_low=rounded(output.low, 4),
            output_high=rounded(output.high, 4),
            loss=rounded(loss.value, 4),
            loss_low=rounded(loss.low, 4),
            loss_high=rounded(loss.high, 4),
        )

    def _editor(self, crossing: Crossing, remedy: Remedy, after: Readings) -> Editor:
        order = counterparts(crossing, self.made)
        reader = Reader(after, self.made, crossing, self.ground.layers)

        def edit(seen: AttentionObservation) -> Edit | None:
            reader.on_attention(seen)
            heads = [head for layer, head in self.places if layer == seen.layer]
            return remedy(seen, heads, order) if heads else None

        return edit

    def _skew(self, after: Readings) -> Share:
        """Over all differences in attention that stood out; what a treated head still sees is passed on no more."""
        starts = np.cumsum([0, *(layer.heads for layer in self.ground.layers)])
        treated = [int(starts[layer]) + head for layer, head in self.places]
        both: list[tuple[Array, Array]] = []
        for name, cells in self.standing.items():
            if name in after.values:
                old, new = (
                    term_scores(each.values[name][..., cells].astype(np.float64))
                    for each in (self.before, after)
                )
                new = np.where(np.isfinite(new), new, old)  # before the first change nothing was run again
                both.append((np.where(np.isin(cells, treated), 0.0, new), old))
        if not both:
            return UNKNOWN
        left, before = (np.nan_to_num(np.concatenate(parts, axis=1)) for parts in zip(*both, strict=True))
        return of_differences(left, before, self.made.first, seed=self.ground.plan.seed)

    def _output(self, answers: Answers) -> Share:
        partner = partners(self.made)
        left = answers.attribute[:, partner] - answers.attribute
        return of_effect(left, self.interview.effect, pair_of(self.made), seed=self.ground.plan.seed)

    def _loss(self, answers: Answers) -> Share:
        """The rise in nats per token, paired sentence by sentence, over terms."""
        rise = answers.loss - self.interview.unchanged.loss
        known = np.isfinite(rise)
        count = known.sum(0)
        means = np.where(known, rise, 0.0).sum(0) / np.where(count > 0, count, np.nan)
        value, low, high, _ = studentised_interval(means[:, None], seed=self.ground.plan.seed)
        return Share(float(value[0]), float(low[0]), float(high[0]))
