"""Plain forward passes with the library's own modules, block by block: what a planted fault is aimed and verified by.

Nothing of the audit takes part: what was planted must not be attested by what is to find it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.faults.wiring import Wires, blocks, wires


class Glimpse(NamedTuple):
    """One block at work, on texts [text, token]."""

    entered: Tensor  # [text, token, width] the stream before
    read: Tensor  # [text, token, width] what queries, keys and values are projected from
    pattern: Tensor  # [text, head, token, token]
    heads: Tensor  # [text, token, head, head_dim] head outputs
    update: Tensor  # [text, token, width] what W_O makes of them
    digested: Tensor  # [text, token, width] what the MLP reads
    thought: Tensor  # [text, token, width] what the MLP adds
    left: Tensor  # the stream behind


class _EnoughError(Exception):
    pass


class Walk:
    """A pass that is made block by block, so that faults planted on the way are seen by those behind them."""

    def __init__(self, model: Any, texts: Tensor) -> None:
        self.model, self.texts, self._at = model, texts, 0
        block = blocks(model)[0]

        def stop(_module: nn.Module, words: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._stream, self._more, self._named = words[0], words[1:], named
            raise _EnoughError

        hook = block.register_forward_pre_hook(stop, with_kwargs=True)
        with torch.no_grad(), _hooked(hook), suppress(_EnoughError):
            self._pass(texts)

    def to(self, layer: int) -> "Site":
        """Go on to that block; the way leads forward only."""
        while self._at < layer:
            self._stream = self.through(self._at, self._stream)
            self._at += 1
        return Site(self, layer)

    def through(self, layer: int, stream: Tensor) -> Tensor:
        """What one block makes of the stream."""
        with torch.no_grad():
            left = blocks(self.model)[layer](stream, *self._more, **self._named)
        return left[0] if isinstance(left, tuple) else left

    @property
    def stream(self) -> Tensor:
        """What enters the block that was reached."""
        return self._stream

    def readings(self, skipped: nn.Module | None = None) -> Tensor:
        """Losses of some texts, or their pooled outputs where the model has none; a skipped block leaves the stream."""
        few = self.texts[1::4]
        hook = skipped.register_forward_hook(lambda _m, words, _o: words[0]) if skipped else None
        with torch.no_grad(), _hooked(hook):
            found = self._pass(few)
        if "logits" not in found:
            return found.last_hidden_state.mean(1)
        logits, wanted = found.logits[:, :-1].float(), few[:, 1:]
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
        return losses.mean(1, keepdim=True)

    def _pass(self, texts: Tensor) -> Any:
        cache = {} if self.model.config.model_type == "bert" else {"use_cache": False}
        return self.model(input_ids=texts, attention_mask=torch.ones_like(texts), **cache)


class Site:
    """A block that something may be planted in."""

    def __init__(self, walk: Walk, layer: int) -> None:
        self.walk, self.layer = walk, layer
        self._without: dict[
            bool, Tensor
        ] = {}  # of the block, of its attention: what is planted there changes neither

    @property
    def model(self) -> Any:
        """The model."""
        return self.walk.model

    @cached_property
    def wires(self) -> Wires:
        """Its weights."""
        return wires(self.model, self.layer)

    def look(self) -> Glimpse:
        """The block at work as it is now, on the texts to aim by."""
        return Glimpse(*(part[::2] for part in self._seen()))

    def check(self) -> Glimpse:
        """The same on the other texts: what was fitted to some is to be verified on others."""
        return Glimpse(*(part[1::2] for part in self._seen()))

    def _seen(self) -> Glimpse:
        seen: dict[str, Tensor] = {}
        at = self.wires
        with (
            _hooked(at.entrance.register_forward_pre_hook(_keep(seen, "read", lambda words: words[0]))),
            _hooked(at.projection.register_forward_pre_hook(_keep(seen, "heads", lambda words: words[0]))),
            _hooked(at.mlp.register_forward_pre_hook(_keep(seen, "digested", lambda words: words[0]))),
            _hooked(at.attending.register_forward_hook(_keep_after(seen, "pattern", lambda found: found[1]))),
            _hooked(at.projection.register_forward_hook(_keep_after(seen, "update", lambda found: found))),
            _hooked(
                at.mlp_projection.register_forward_hook(_keep_after(seen, "thought", lambda found: found))
            ),
        ):
            left = self.walk.through(self.layer, self.walk.stream)
        seen["heads"] = seen["heads"].unflatten(-1, (at.heads, -1))
        return Glimpse(entered=self.walk.stream, left=left, **seen)

    def cost_of(self, *, block: bool) -> float:
        """What it costs to skip the block, or to silence its attention: the loss, or the share of the spread of outputs."""
        before = self.walk.readings()
        if block not in self._without:
            with nullcontext() if block else _silenced(self.wires):
                self._without[block] = self.walk.readings(skipped=self.wires.block if block else None)
        after = self._without[block]
        if before.shape[1] == 1:
            return float((after - before).mean().abs())
        spread = (before - before.mean(0)).norm(dim=1).mean()
        return float((after - before).norm(dim=1).mean() / spread)


def ready(windows: list[list[int]], length: int) -> Tensor:
    """Whole windows only, [text, token]: no padding anywhere."""
    return torch.tensor([window[:length] for window in windows if len(window) >= length])


@contextmanager
def _hooked(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


@contextmanager
def _silenced(at: Wires) -> Iterator[None]:
    tensors = [at.output] if at.output_bias is None else [at.output, at.output_bias]
    kept = [tensor.clone() for tensor in tensors]
    for tensor in tensors:
        tensor.zero_()
    yield
    for tensor, before in zip(tensors, kept, strict=True):
        tensor.copy_(before)


def _keep(seen: dict[str, Tensor], name: str, pick: Callable[[Any], Tensor]) -> Any:
    return lambda _module, words: seen.__setitem__(name, pick(words))


def _keep_after(seen: dict[str, Tensor], name: str, pick: Callable[[Any], Tensor]) -> Any:
    return lambda _module, _words, found: seen.__setitem__(name, pick(found))
