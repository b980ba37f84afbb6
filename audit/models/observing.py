"""Feeds a batch to a model and hands out what is seen, one attention layer and one block at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from transformers import PreTrainedModel

from audit.errors import InternalFault, MachineFault, UnusableInput
from audit.models.attention import Edit, edited, is_whole, observed_attention
from audit.models.inputs import Fed, model_inputs
from audit.models.loading import LoadedModel
from audit.models.location import numbered
from audit.models.passes import FAULTS, LESS, Watcher, Way, computing, is_of_memory, run
from audit.models.residual import sublayers
from audit.models.tracing import Addition, Attention
from audit.models.turns import in_turns
from audit.observations import AttentionObservation, Batch, ResidualObservation
from audit.results.subject import LayerCoverage

T = TypeVar("T")
Editor = Callable[[AttentionObservation], Edit | None]


class Receiver(Protocol):
    """Takes observations; nothing of them is kept here once it returns."""

    def on_attention(self, observation: AttentionObservation) -> None:
        """One softmax attention layer, as it is computed."""


@runtime_checkable
class ResidualReceiver(Receiver, Protocol):
    """One that takes the residual stream too."""

    def on_residual(self, observation: ResidualObservation) -> None:
        """The residual stream around one attention layer, as its block is left."""


class Together(NamedTuple):
    """Two receivers that share a pass."""

    first: ResidualReceiver
    second: Receiver  # of attention alone

    def on_attention(self, observation: AttentionObservation) -> None:
        """Hand the attention layer to both."""
        self.first.on_attention(observation)
        self.second.on_attention(observation)

    def on_residual(self, observation: ResidualObservation) -> None:
        """Hand the residual stream to the first."""
        self.first.on_residual(observation)


class Pass(NamedTuple):
    """One forward pass: the indices of the layers seen, and the model's output."""

    seen: set[int]
    output: Any


class _Seen(NamedTuple):
    """What is kept of an attention until its block is left."""

    layer: LayerCoverage
    tokens: Tensor  # bool [batch, token]
    sinks: Tensor  # bool [batch, token], of this layer and those before it


def observe(
    model: PreTrainedModel,
    batch: Batch,
    receiver: Receiver,
    *,
    layers: Sequence[LayerCoverage],
    edit: Editor | None = None,
    every_logit: bool = False,
) -> Pass:
    """One forward pass of `batch` without gradients; each layer is handed to `receiver` and then forgotten.

    Observations have the positions of `padded_behind(batch)`. The output has the logits of the last position only,
    unless `every_logit`. `edit` may replace a layer's pattern or head outputs by others to go on with; the pass then
    runs the family's own code, so that what is left as it was stays so to the last bit.

    Raises:
        UnusableInput: the model fails on the batch, or attends to it in another way than the survey saw.
        MachineFault: too little memory.
    """
    fed = model_inputs(model, batch, every_logit=every_logit)
    observer = _Observer(fed, receiver, layers, edit)
    output = run(model, fed, observer, way=_way(layers) if edit is None else "eager")
    observer.check()
    return Pass(observer.seen, output)


def _way(layers: Sequence[LayerCoverage]) -> Way:
    """How the whole model runs: layers whose path is another are eager in either."""
    return next((layer.path for layer in layers if layer.path not in (None, "eager")), None) or "eager"


def in_step(
    loaded: LoadedModel, calls: Sequence[Callable[[], T]], *, layers: Sequence[LayerCoverage]
) -> Iterator[T]:
    """What calls that observe return, in order; where weights are streamed, all go through a part before the next."""
    if loaded.streamed is None:
        yield from (call() for call in calls)
    else:
        with computing(loaded.model, _way(layers)):
            yield from in_turns(calls)
        loaded.streamed.release()


class _Observer(Watcher):
    """Turns what is found in a pass into observations."""

    def __init__(
        self, fed: Fed, receiver: Receiver, layers: Sequence[LayerCoverage], edit: Editor | None
    ) -> None:
        self.seen: set[int] = set()
        self._fed, self._receiver, self._edit = fed, receiver, edit
        self._residual = receiver if isinstance(receiver, ResidualReceiver) else None
        self._layers = {layer.name: layer for layer in layers}
        self._times: Counter[str] = Counter()
        self._in_block: dict[int, _Seen] = {}  # by number of the attention
        self._sinks: dict[str, Tensor] = {}  # by stack

    def check(self) -> None:
        """Raises unless every layer that the survey found observable was seen."""
        for layer in self._layers.values():
            if layer.reason is None and layer.index not in self.seen:
                raise self._changed(layer.name)

    def entered(self, _block: str) -> None:
        """Forgets the block before."""
        self._in_block.clear()

    def attended(self, found: Attention, name: str) -> Tensor:
        """Hands the attention out, unless the survey gave a reason why it cannot be observed."""
        self._times[name] += 1
        layer = self._layers.get(numbered(name, self._times[name]), self._layers.get(name))
        if layer is not None and layer.reason is not None:
            return found.output
        if layer is None or layer.index in self.seen or not is_whole(found, self._fed):
            raise self._changed(name)
        observation = observed_attention(found, layer, self._fed)
        if observation.shape[1] != layer.heads:
            raise self._changed(name)
        self._hand_out(self._receiver.on_attention, observation)
        self.seen.add(layer.index)
        if self._residual is not None:
            sinks = self._sinks_until(layer, observation)
            self._in_block[found.number] = _Seen(layer, observation.queries, sinks)
        return found.output if self._edit is None else edited(found, self._edit(observation))

    def left(self, _block: str, output: Any, additions: Sequence[Addition]) -> None:
        """Hands out the residual stream around each attention of the block."""
        for place, (number, (layer, tokens, sinks)) in enumerate(self._in_block.items()):
            around = sublayers(additions, number, output, positions=tokens.shape)
            if around is not None and self._residual is not None:
                observation = ResidualObservation(
                    layer=layer.index,
                    opens_block=place == 0,
                    tokens=tokens,
                    sinks=sinks,
                    **around._asdict(),
                )
                self._hand_out(self._residual.on_residual, observation)

    def _sinks_until(self, layer: LayerCoverage, observation: AttentionObservation) -> Tensor:
        """The sinks of this layer and of those before it in its stack, bool [batch, token].

        What makes a token a sink stays in the stream, also where a layer no longer rests on it.
        """
        sinks, before = _token_sinks(observation), self._sinks.get(layer.stack)
        if before is not None and before.shape == sinks.shape:
            sinks = sinks | before.to(sinks.device)  # the block before may have run elsewhere
        self._sinks[layer.stack] = sinks
        return sinks

    def _hand_out(self, take: Callable[[Any], None], observation: Any) -> None:
        try:
            with _disable_current_modes():  # what a receiver computes is no part of the model
                take(observation)
        except FAULTS as error:  # one of a receiver must not pass for one of the model
            if is_of_memory(error):
                raise MachineFault(
                    f"memory gave out in measuring layer {observation.layer}: {LESS}"
                ) from error
            reason = f"{type(error).__name__}: {error}"
            raise InternalFault(f"measuring layer {observation.layer} failed: {reason}") from error

    def _changed(self, name: str) -> UnusableInput:
        length = self._fed.encoder.tokens.shape[1]
        return UnusableInput(
            f"{name!r} attends in another way on {length} tokens than on the few of the survey:"
            " use a smaller --max-length"
        )


def _token_sinks(observation: AttentionObservation) -> Tensor:
    """The tokens that are sinks of any head; none where the keys are other positions than the queries."""
    if observation.kind == "self" and observation.keys.shape == observation.queries.shape:
        return observation.sinks.any(1)
    return torch.zeros_like(observation.queries)
