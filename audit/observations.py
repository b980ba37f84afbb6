"""What goes into a pass and what is seen in it: the waist that probes, models and metrics all speak.

Axes are written `[batch, head, query, key]`; `scores` are before the softmax, `pattern` after it. Every observation
covers ONE attention layer and one batch and is dropped as soon as the metrics have read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from audit import numerics
from audit.gathering import FAR, Gathered, gather
from audit.patterns import Mask, Source, Stored
from audit.spectra import Spectrum, spectrum

Part = Literal["query", "key", "value", "output", "mlp"]
PARTS: tuple[Part, ...] = get_args(Part)  # the matrices of a block, by what they make

SINK_MASS = 0.3  # Gu et al. (ICLR 2025): a key is a sink of a head that gives it more than this, on average
SINK_ROWS = 8  # fewer rows cannot tell a sink from a token that looks at itself at the end of a causal sample
SINK_HEADS = 0.25  # share of the layer's heads that makes an ordinary token a sink of the layer


@dataclass(frozen=True)
class Batch:
    """Token ids to feed, one row per sample; padding may stand on either side.

    `documents` names the document each row was cut from: windows of one document are one cluster.
    """

    input_ids: Tensor  # int64 [batch, token]
    tokens: Tensor  # bool [batch, token], False on padding
    special: Tensor  # bool [batch, token], True on tokens the tokenizer added or reserves
    samples: tuple[int, ...]  # index of each row in its probe
    documents: tuple[str, ...]

    def only(self, row: int, tokens: int) -> "Batch":
        """One row, cut to its first `tokens` columns."""
        part = (slice(row, row + 1), slice(tokens))
        return Batch(
            input_ids=self.input_ids[part],
            tokens=self.tokens[part],
            special=self.special[part],
            samples=self.samples[row : row + 1],
            documents=self.documents[row : row + 1],
        )


class Kept(NamedTuple):
    """What rows keep off the sinks, float64 [batch, head, query]."""

    total: Tensor
    logarithms: Tensor  # of p log p
    far: Tensor  # of what lies more than `gathering.FAR` tokens away
    keys: Tensor  # how many of them a row sees, int64


@dataclass(frozen=True)
class AttentionObservation:
    """One softmax attention layer in one batch.

    A row of its pattern sums to 1 over its visible keys, or to less where the family has a learned sink column.
    Reading `pattern`, `visible`, `scores`, `seen` or `mass` brings all of it into memory; the sums do not.
    """

    layer: int  # index into coverage.layers
    kind: Literal["self", "cross"]
    source: Source  # where the pattern is had from
    queries: Tensor  # bool [batch, query], False on padding
    keys: Tensor  # bool [batch, key], False on padding
    special: Tensor  # bool [batch, key]
    query: Tensor | None = None  # [batch, head, query, head_dim], after positional rotation
    key: Tensor | None = None  # [batch, key_value_head, key, head_dim]
    value: Tensor | None = None  # [batch, key_value_head, key, value_dim]
    head_output: Tensor | None = None  # pattern @ value, [batch, head, query, value_dim], before W_O

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Batch, heads, queries, keys."""
        batch, heads, queries, keys = self.source.shape
        return batch, heads, queries, keys

    @property
    def undefined(self) -> Tensor:
        """What a metric says of heads it has no meaning for: NaN, float64 [batch, head]."""
        return numerics.undefined(self.queries, *self.shape[:2])

    @cached_property
    def mask(self) -> Mask:
        """Which keys each row may see."""
        return self.source.mask(self.queries)

    @cached_property
    def whole(self) -> Stored:
        """All of the pattern."""
        return self.source.whole()

    @property
    def pattern(self) -> Tensor:
        """Float [batch, head, query, key]; 0 where not visible."""
        return self.whole.pattern

    @property
    def visible(self) -> Tensor:
        """Bool [batch, head or 1, query, key]."""
        return self.whole.visible

    @property
    def scores(self) -> Tensor | None:
        """Float [batch, head, query, key], scaled, soft-capped and biased; whatever where not visible."""
        return self.whole.scores

    @property
    def seen(self) -> Tensor:
        """The pairs that count, bool [batch, head or 1, query, key]: a real row and a key it may see."""
        return self.mask.every

    @property
    def visible_keys(self) -> Tensor:
        """Number of keys each row may see, int64 [batch, head or 1, query]; 0 on padded rows."""
        return self.mask.per_row

    @cached_property
    def causal(self) -> bool:
        """Whether no row sees a key after itself (self-attention of a decoder)."""
        square = self.shape[-1] == self.shape[-2]
        return square and self.kind == "self" and (self.mask.causal or not bool(self.seen.triu(1).any()))

    @cached_property
    def same_tokens(self) -> bool:
        """Whether query i and key i are the same token, so that distances between them have a meaning."""
        return self.kind == "self" and torch.equal(self.queries, self.keys)

    @cached_property
    def mass(self) -> Tensor:
        """The pattern as metrics read it, float64: 0 on padded rows and on keys a row may not see."""
        return torch.where(self.seen, self.pattern.double(), 0.0)  # a padded row may hold NaN: never multiply

    @cached_property
    def spectrum(self) -> Spectrum:
        """Leading singular values of each pattern, and its energy; cheapest where asked for before all else."""
        if "sums" not in vars(self):
            vars(self)["sums"] = self._gathered(spectral=True)
        found = self.sums.spectrum
        return spectrum(self.source, self.mask, self.sums.energy.sum(-1)) if found is None else found

    @cached_property
    def centred_spectrum(self) -> Spectrum:
        """Of what each pattern has beyond even attention under its mask."""
        return self.spectrum_beyond_even(torch.where(self.seen, self.pattern, 0.0))

    def spectrum_beyond_even(self, pattern: Tensor) -> Spectrum:
        """Of another pattern under the same mask, less 1/n on each of the n keys a row may see."""
        share = 1.0 / self.visible_keys.double().clamp_min(1)[..., None]
        away = pattern - torch.where(self.seen, share.to(pattern), 0.0)
        return spectrum(Stored(away, self.seen), self.mask, away.double().square().sum((-2, -1)))

    @cached_property
    def sums(self) -> Gathered:
        """What rows and keys add up to."""
        return self._gathered(spectral=False)

    @cached_property
    def finite(self) -> Tensor:
        """Whether a head's rows are numbers, bool [batch, head]."""
        return self.sums.total.isfinite().all(-1)

    @cached_property
    def score_deviation(self) -> Tensor | None:
        """Standard deviation of the scores of each row over the keys it may see, float64 [batch, head, query]."""
        if self.sums.scores is None or self.sums.squared_scores is None:
            return None
        count = self.visible_keys.clamp_min(1)
        variance = self.sums.squared_scores / count - (self.sums.scores / count).square()
        deviation: Tensor = variance.clamp_min(0.0).sqrt()
        return deviation

    @cached_property
    def received(self) -> Tensor:
        """Mean mass each key receives from the rows that may see it, float64 [batch, head, key]."""
        return self.sums.received / self.mask.per_key.clamp_min(1)

    @cached_property
    def sinks(self) -> Tensor:
        """Attention sinks of each sample and head, bool [batch, head, key].

        A key is a sink of a head when at least `SINK_ROWS` rows may see it (all, in a shorter sample), they give
        it more than `SINK_MASS` on average, AND it is one by position or by agreement: the first token, a special
        token, or a key that more than a quarter of the layer's heads (and at least two) treat so. A single head
        staring at an ordinary token is not a sink but a finding.
        """
        strong = torch.zeros(self.sums.received.shape, dtype=torch.bool, device=self.keys.device)
        strong[tuple(self.sums.strong.at.T)] = True
        heads = strong.shape[1]
        agreed = strong.sum(1, keepdim=True) > max(1.0, SINK_HEADS * heads)
        first = torch.zeros_like(self.keys)
        first.scatter_(1, self.keys.int().argmax(-1, keepdim=True), True)
        by_position = (first | (self.special & self.keys))[:, None]
        return strong & (agreed | by_position)

    @cached_property
    def kept(self) -> Kept:
        """What rows keep off the sinks: the columns of the sinks taken from the sums over all keys."""
        sums, (at, mass) = self.sums, self.sums.strong
        sink = self.sinks[tuple(at.T)]
        at, mass = at[sink], mass[sink].double()
        row = torch.arange(mass.shape[1], device=mass.device)
        far = torch.where((row - at[:, 2:]).abs() > FAR, mass, 0.0)
        shape, place = sums.total.shape, at[:, 0] * self.shape[1] + at[:, 1]

        def without(of: Tensor, columns: Tensor) -> Tensor:
            flat = of.expand(shape).flatten(0, 1)
            return flat.index_add(0, place, columns.to(flat), alpha=-1).view(shape)

        return Kept(
            without(sums.total, mass),
            without(sums.logarithms, torch.special.xlogy(mass, mass)),
            without(sums.far, far),
            without(self.mask.per_row, self.mask.seeing(at)),
        )

    def _gathered(self, *, spectral: bool) -> Gathered:
        witnesses = self.queries.sum(-1).clamp_max(SINK_ROWS)
        return gather(self.source, self.mask, strong=SINK_MASS, witnesses=witnesses, spectral=spectral)


@dataclass(frozen=True)
class ResidualObservation:
    """The residual stream around one attention layer and, where it has one, its block's MLP."""

    layer: int  # index into coverage.layers
    opens_block: bool  # False for a second attention layer of the block (cross-attention)
    tokens: Tensor  # bool [batch, token], False on padding
    sinks: Tensor  # bool [batch, token], sinks of any head of this layer or of one before it in the stack
    before: Tensor  # [batch, token, width] entering the attention sublayer
    between: Tensor | None  # after the attention update was added (None in parallel blocks)
    after: Tensor  # leaving the block
    attention_update: Tensor | None  # what the attention sublayer added
    mlp_update: Tensor | None  # what the MLP sublayer added

    def apart(self) -> Iterator[tuple[slice, "ResidualObservation"]]:
        """A few samples at a time, so that what is made of their tokens in float64 stays small."""
        batch, tokens, width = self.after.shape
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        for at in numerics.some(batch, tokens * width):
            part: Any = {name: value[at] for name, value in own.items() if isinstance(value, Tensor)}
            yield at, replace(self, **part)

    @cached_property
    def entering(self) -> Tensor:
        """`before` in float64, made once for all who compute with it."""
        return self.before.double()

    @cached_property
    def leaving(self) -> Tensor:
        """`after` in float64."""
        return self.after.double()

    @cached_property
    def token_singular_values(self) -> Tensor:
        """Singular values of the tokens leaving the block, [token, width] of each sample, largest first."""
        return numerics.singular_values(self.only(self.tokens))

    def only(self, tokens: Tensor) -> Tensor:
        """`after` with 0 for all others, [batch, token, width]."""
        return self.after if bool(tokens.all()) else torch.where(tokens[..., None], self.after, 0.0)


@dataclass(frozen=True)
class WeightObservation:
    """What is read from the weights of one attention layer, without data."""

    layer: int
    output: Tensor | None  # slices of W_O, [head, value_dim, width]; None where no such matrix was seen
    query: Tensor | None = None  # slices of W_Q, [head, head_dim, width], times the scale of the scores
    key: Tensor | None = None  # of W_K, [key_value_head, head_dim, width]; both times the norm's gain


@dataclass(frozen=True)
class GradientObservation:
    """What one backward pass of the loss (nats per token, of each sample by itself) leaves at one attention layer."""

    layer: int  # index into coverage.layers
    opens_block: bool  # False for a second attention layer: what belongs to the block stands at the first
    tokens: Tensor  # bool [batch, token], False on padding
    hidden: Tensor | None  # the residual stream leaving the block, [batch, token, width]
    hidden_gradient: Tensor | None  # of the loss by it
    entering: Tensor | None  # the stream entering the block; None in the first block of a stack
    entering_gradient: Tensor | None
    head_output: Tensor | None  # pattern @ value, [batch, head, query, value_dim], before W_O
    head_gradient: Tensor | None  # of the loss by it
    gradient_norms: Tensor  # of the gradient by each of `PARTS`, float64 [batch, part]; NaN: no such
    weight_norms: Tensor  # of the matrices themselves, float64 [batch, part]; both Frobenius
