"""Finds attention and residual additions in a running model by what is computed, not by which modules are called.

Softmax attention is a softmax over products of activations whose result weights other activations in a further
product. That holds for every family. And below PyTorch's composite operators (`matmul`, `einsum`, `linear`, `F.softmax`,
scaled dot product attention) there is only one spelling of each of these steps.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from audit.models.fused import FUSED, Fused
from audit.models.labels import (
    Attended,
    Computed,
    Label,
    Labels,
    Pattern,
    Repeated,
    Scores,
    repetitions,
    tensors,
)
from audit.models.linear import LINEAR, multiplied

aten = torch.ops.aten
BATCHED = {aten.bmm, aten.baddbmm}
PRODUCTS = BATCHED | {aten.mm, aten.addmm, aten.convolution, aten._grouped_mm}  # noqa: SLF001 - its name
SOFTMAXES = {aten._softmax, aten._safe_softmax}  # noqa: SLF001
SUMS = {aten.add, aten.add_}
VIEWS = {aten.t, aten.transpose, aten.view, aten.slice, aten.unsqueeze, aten.expand, aten.permute}
PROJECTIONS = (
    2  # products from head outputs to their update: W_O may be of low rank; more is another sublayer
)


class Softmax(NamedTuple):
    """What a family's own code made of the products of queries and keys."""

    scores: Tensor  # after scale, bias and mask, [..., query, key]
    pattern: Tensor  # [batch * head, query, key]


class Attention(NamedTuple):
    """One attention, seen when its pattern met the values; samples and heads share the leading axes."""

    number: int  # in order of execution
    query: Tensor  # [batch * head, query, head_dim]
    columns: Tensor  # the keys as the product took them, [batch * head, head_dim, key]
    value: Tensor  # [batch * head, key, value_dim]
    softmax: Softmax | Fused
    output: Tensor  # [batch * head, query, value_dim]
    repetitions: int  # of each key head
    again: Callable[[Tensor], Tensor]  # the output that another pattern would give

    @property
    def scores(self) -> Tensor:
        """Scores after scale, bias and mask, [..., query, key]; a fused kernel's are made again."""
        return self.softmax.scores

    @property
    def pattern(self) -> Tensor:
        """The pattern, [..., query, key]; a fused kernel's is made again."""
        return self.softmax.pattern

    @property
    def key(self) -> Tensor:
        """The keys, [batch * head, key, head_dim]."""
        return self.columns.mT


class Addition(NamedTuple):
    """An update added to the residual stream."""

    stream: Tensor  # [batch, token, width], before
    update: Tensor
    attention: int | None  # number of the attention it descends from
    beside: Tensor | None  # the update of a parallel MLP, where both were added at once
    products: int  # matrix products so far: none between two additions means that neither needed the other


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call] # untyped in torch
    """Watches every operator of a pass."""

    def __init__(
        self,
        *,
        on_attention: Callable[[Attention], Tensor],
        on_projection: Callable[[int, Tensor], None],
        on_softmax: Callable[[Tensor], None],
        on_addition: Callable[[Addition], Tensor | None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._on_attention = on_attention  # gives the output to go on with
        self._on_projection = on_projection  # number of the attention, what of it enters another product
        self._on_softmax = on_softmax  # its result, attention or not
        self._on_addition = on_addition  # gives the stream to go on with, or None to leave it
        self._labels = Labels()
        self._attentions = 0
        self._products = 0
        self.additions: list[Addition] = []  # of this block

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: each operator would be wrapped once more, and the compiler imported for it."""
        return False

    def next_block(self) -> None:
        """A block begins or ends: what comes now adds to the stream anew."""
        self._labels.next_block()
        self.additions = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs an operator and labels what it returns."""
        packet, kwargs = func.overloadpacket, kwargs or {}
        if packet in SUMS and self._is_update(args):
            return self._sum(func, args, kwargs)
        out: Any = multiplied(func, args, kwargs) if func in LINEAR else func(*args, **kwargs)
        if packet in VIEWS and not isinstance(self._labels.of(args[0]), Scores):
            return out  # it shares the storage, and with it the label
        if packet in FUSED:
            return self._fused(args, kwargs, out)
        if packet in BATCHED:
            return self._batched(func, args, kwargs, out)
        if packet in PRODUCTS:
            label: Label | None = self._multiplied(args)
        elif packet in SOFTMAXES:
            label = self._normalised(args, out)
        else:
            label = _carried(self._labels.strongest(args), packet, args, out)
        self._labels.put(out, label)
        return out

    def _batched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Tensor:
        """Scores, head outputs, or a product like any other."""
        left, right = args[-2:]
        one, two = self._labels.of(left), self._labels.of(right)
        if isinstance(one, Pattern):
            return self._attention(one.of, args, out, lambda p: func(*args[:-2], p, right, **kwargs))
        if one is not None and two is not None:
            times = two.times if isinstance(two, Repeated) else repetitions(right[None])
            self._labels.put(out, Scores(self._labels.block, left, right, times, out))
        else:
            self._labels.put(out, self._multiplied(args))
        return out

    def _attention(
        self, of: Scores, args: tuple[Any, ...], out: Tensor, again: Callable[[Tensor], Tensor]
    ) -> Tensor:
        pattern, value = args[-2:]
        number, self._attentions = self._attentions, self._attentions + 1
        out = self._on_attention(
            Attention(number, of.query, of.columns, value, Softmax(of.scores, pattern), out, of.times, again)
        )
        self._labels.forget_scores()
        self._labels.put(out, Attended(self._labels.block, number))
        return out

    def _fused(self, args: tuple[Any, ...], kwargs: dict[str, Any], outs: tuple[Tensor, ...]) -> Any:
        """An attention that one kernel computes from queries, keys and values."""
        fused = Fused.of(args, kwargs, outs[1], times=self.repetitions(args[1]))
        return (self.weighed(fused, args[2], outs[0]), *outs[1:])

    def weighed(self, fused: Fused, value: Tensor, output: Tensor) -> Tensor:
        """The output to go on with after an attention whose pattern was never whole."""
        number, self._attentions = self._attentions, self._attentions + 1
        query, columns = fused.source.query, fused.source.key.mT
        out = self._on_attention(
            Attention(number, query, columns, value, fused, output, fused.repetitions, fused.weigh(value))
        ).reshape(output.shape)
        self._labels.put(out, Attended(self._labels.block, number))
        return out

    def follow(self, result: Tensor, before: Tensor) -> None:
        """`result` was made of `before`, unseen."""
        self._labels.put(result, self._labels.of(before))

    def computed(self, *given: Tensor) -> None:
        """What comes from products of before the pass."""
        self._labels.put(given, Computed(self._labels.block))

    def repetitions(self, keys: Tensor) -> int:
        """How often each head of theirs stands in keys or values."""
        label = self._labels.of(keys)
        return label.times if isinstance(label, Repeated) else 1

    def _multiplied(self, args: tuple[Any, ...]) -> Label:
        self._products += 1
        label = self._labels.strongest(args)
        if not isinstance(label, Attended) or not label.may_be_projected(self._labels.block):
            return Computed(self._labels.block)
        operand = next(tensor for tensor in tensors(args) if self._labels.of(tensor) is label)
        self._on_projection(label.number, operand)
        return Attended(self._labels.block, label.number, label.products + 1)

    def _normalised(self, args: tuple[Any, ...], out: Tensor) -> Label | None:
        self._on_softmax(out)
        label = self._labels.of(args[0])
        return Pattern(label.block, label) if isinstance(label, Scores) else label

    def _is_update(self, args: tuple[Any, ...]) -> bool:
        """Whether tensors like [batch, token, width] are added of which at least one was computed in this block."""
        first, second = args[:2]
        if not isinstance(second, Tensor) or first.dim() not in (2, 3) or first.shape != second.shape:
            return False
        labels = self._labels.fresh(first), self._labels.fresh(second)
        return any(labels) and not any(isinstance(label, Scores | Pattern) for label in labels)

    def _sum(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What was not computed in this block is the stream, and the sum goes on as such."""
        first, second = args[:2]
        one, two = self._labels.fresh(first), self._labels.fresh(second)
        if func.overloadpacket is aten.add_:
            first = first.clone()  # it is about to be overwritten
        if (alpha := kwargs.get("alpha", 1)) != 1:
            second = second * alpha
        out = func(*args, **kwargs)
        label = self._labels.strongest(args)
        if one is None or two is None:
            added = self._add(*((first, second, two) if one is None else (second, first, one)))
            if (changed := self._on_addition(added)) is not None:
                out.copy_(changed)
            label = None
        elif isinstance(label, Attended) and not (isinstance(one, Attended) and isinstance(two, Attended)):
            alone, beside = (first, second) if isinstance(one, Attended) else (second, first)
            label = replace(label, alone=alone, beside=beside)
        self._labels.put(out, label)
        return out

    def _add(self, stream: Tensor, update: Tensor, label: Label | None) -> Addition:
        number, beside = None, None
        if isinstance(label, Attended):
            number, beside = label.number, label.beside
            update = update if label.alone is None else label.alone
        self.additions.append(Addition(stream, update, number, beside, self._products))
        return self.additions[-1]


def _carried(label: Label | None, packet: Any, args: tuple[Any, ...], out: Any) -> Label | None:
    """What becomes of a label when an operator is applied that is neither product nor softmax."""
    if isinstance(label, Scores):
        if packet is aten.cat:
            return replace(label, closed=True)
        if (
            packet is aten.sub and isinstance(args[1], Tensor) and args[1].shape[-1] == 1
        ):  # of each row its largest: the softmax is the same
            return label
        return label if label.closed or not isinstance(out, Tensor) else replace(label, scores=out)
    if packet is aten.clone and type(label) is Computed and (times := repetitions(args[0])) > 1:
        return Repeated(label.block, times)
    return label
