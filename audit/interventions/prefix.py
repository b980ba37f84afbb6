"""Runs a model from one of its blocks on, with the blocks before returning at once what they returned before.

A clean pass keeps what each block returned; a later pass that changes a block need not compute those before it. What
is computed is the same to the last bit, because it is computed from the same tensors by the same code.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from transformers import PreTrainedModel

from audit.errors import InternalFault
from audit.interventions.ablation import Cut, Means, replaced, without_attention
from audit.models.attention import edited, observed_attention
from audit.models.inputs import Fed
from audit.models.labels import tensors
from audit.models.location import numbered
from audit.models.observing import Editor
from audit.models.passes import Watcher, run
from audit.models.tracing import Addition, Attention
from audit.results.subject import LayerCoverage


class Inseparable(InternalFault):
    """A part of this architecture cannot be taken out; the message says why."""


class Site(NamedTuple):
    """Where in a pass an attention is computed, whatever is left out before it."""

    entered: int  # blocks
    left: int
    place: int  # among the attentions since


@dataclass(frozen=True, slots=True)
class Route:
    """What a pass goes through: block runs in order of execution, and the layer at each site."""

    blocks: list[str] = field(default_factory=list)  # module that each run runs
    layers: dict[Site, LayerCoverage] = field(default_factory=dict)
    runs: dict[int, int] = field(default_factory=dict)  # block run of each layer, by its index

    def run_of(self, layer: int) -> int | None:
        """The block run that `layer` is computed in; None outside of blocks."""
        return self.runs.get(layer)

    def skipped(self, cut: Cut) -> set[int]:
        """The block runs that `cut` takes out whole."""
        runs = {self.run_of(ablation.layer) for ablation in cut if ablation.target == "block"}
        return {run for run in runs if run is not None}

    def start(self, cut: Cut) -> int:
        """The first block run that `cut` changes; 0 where one of its layers stands outside of blocks."""
        runs = [self.run_of(ablation.layer) for ablation in cut]
        return min((0 if run is None else run for run in runs), default=0)


class Clean(NamedTuple):
    """An unchanged pass, its way, and what its first block runs returned."""

    output: Any
    route: Route
    kept: list[Any]


def clean_pass(
    model: PreTrainedModel,
    fed: Fed,
    *,
    layers: Sequence[LayerCoverage],
    keep: int | None,
    look: Editor | None = None,
) -> Clean:
    """An unchanged pass that keeps what the first `keep` block runs return, or all of them.

    `look` sees the attention of every layer; what it returns is not followed.
    """
    scout = _Scout(fed, layers, keep, look)
    output = run(model, fed, scout)
    known = {layer.index for layer in scout.route.layers.values()}
    for layer in layers:  # those without softmax attention, too, stand in a block
        for at, block in enumerate(scout.route.blocks):
            if layer.index not in known and f"{layer.name}.".startswith(f"{block}."):
                scout.route.runs.setdefault(layer.index, at)
    return Clean(output, scout.route, scout.kept)


def resumed(model: PreTrainedModel, fed: Fed, clean: Clean, cut: Cut, *, start: int, means: Means) -> Any:
    """The output of the pass with `cut` applied, from block run `start` on.

    `start` may not lie behind the first run that the cut changes. Block runs that are taken out, and those before
    `start`, must have been kept. A block that is taken out returns what it was given.

    Raises:
        Inseparable: what is to be taken out cannot be told from the rest of this architecture.
    """
    surgeon = _Surgeon(fed, clean.route, cut, means)
    skipped = clean.route.skipped(cut)

    def stand_in(given: Sequence[Any]) -> Any:
        if surgeon.running < start:
            return _copied(clean.kept[surgeon.running])
        if surgeon.running in skipped:
            return _passed_through(clean.kept[surgeon.running], given, clean.route.blocks[surgeon.running])
        return None

    with _standing_in([model.get_submodule(name) for name in set(clean.route.blocks)], stand_in):
        output = run(model, fed, surgeon)
    for ablation in cut:
        if ablation.target == "block" and clean.route.run_of(ablation.layer) is None:
            raise Inseparable(f"layer {ablation.layer} stands in no block")
        if ablation.target != "block" and ablation.layer not in surgeon.changed:
            raise Inseparable(f"what layer {ablation.layer} adds to the residual stream was not seen")
    return output


def rerun(model: PreTrainedModel, fed: Fed, clean: Clean, edit: Editor, *, start: int) -> Any:
    """The output of the pass in which every layer from block run `start` on attends as `edit` says.

    The block runs before `start` must have been kept, and no layer in them may be edited.
    """
    walker = _Editing(fed, clean.route, edit)

    def stand_in(_given: Sequence[Any]) -> Any:
        return _copied(clean.kept[walker.running]) if walker.running < start else None

    with _standing_in([model.get_submodule(name) for name in set(clean.route.blocks)], stand_in):
        return run(model, fed, walker)


class _Walker(Watcher):
    """Knows at which site a pass is."""

    def __init__(self) -> None:
        self._site = Site(0, 0, 0)

    @property
    def running(self) -> int:
        """Number of the block run."""
        return self._site.entered - 1

    def entered(self, _block: str) -> None:
        """One block run more."""
        self._site = Site(self._site.entered + 1, self._site.left, 0)

    def left(self, _block: str, _output: Any, _additions: Sequence[Addition]) -> None:
        """And it ends."""
        self._site = Site(self._site.entered, self._site.left + 1, 0)

    def next_site(self) -> Site:
        """The site of the attention that was just computed."""
        here = self._site
        self._site = Site(here.entered, here.left, here.place + 1)
        return here


class _Scout(_Walker):
    """Notes the way and keeps what blocks return."""

    def __init__(
        self, fed: Fed, layers: Sequence[LayerCoverage], keep: int | None, look: Editor | None
    ) -> None:
        super().__init__()
        self.route = Route()
        self.kept: list[Any] = []
        self._fed, self._keep, self._look = fed, keep, look
        self._layers = {layer.name: layer for layer in layers}
        self._times: Counter[str] = Counter()

    def entered(self, block: str) -> None:
        """A block run."""
        super().entered(block)
        self.route.blocks.append(block)

    def attended(self, found: Attention, name: str) -> Tensor:
        """A layer, unless the survey did not know it."""
        self._times[name] += 1
        site = self.next_site()
        layer = self._layers.get(numbered(name, self._times[name]), self._layers.get(name))
        if layer is not None:
            self.route.layers[site] = layer
            if site.entered > site.left:
                self.route.runs[layer.index] = self.running
            if self._look is not None and layer.reason is None:
                self._look(observed_attention(found, layer, self._fed))
        return found.output

    def left(self, block: str, output: Any, additions: Sequence[Addition]) -> None:
        """Keeps the first outputs; later blocks may overwrite the tensors, hence the copy."""
        super().left(block, output, additions)
        if self._keep is None or len(self.kept) < self._keep:
            self.kept.append(_copied(output))


class _Editing(_Walker):
    """Lets every layer attend as an editor says."""

    def __init__(self, fed: Fed, route: Route, edit: Editor) -> None:
        super().__init__()
        self._fed, self._route, self._edit = fed, route, edit

    def attended(self, found: Attention, _name: str) -> Tensor:
        """The attention as it goes on."""
        layer = self._route.layers.get(self.next_site())
        if layer is None or layer.reason is not None:
            return found.output
        return edited(found, self._edit(observed_attention(found, layer, self._fed)))


class _Surgeon(_Walker):
    """Applies a cut."""

    def __init__(self, fed: Fed, route: Route, cut: Cut, means: Means) -> None:
        super().__init__()
        self.changed: set[int] = set()  # layers
        self._rows = fed.encoder.tokens.shape[0]
        self._route, self._cut, self._means = route, cut, means
        self._without: dict[int, int] = {}  # layers that are to add nothing, by number of the attention

    def attended(self, found: Attention, _name: str) -> Tensor:
        """The attention with its heads replaced."""
        layer = self._route.layers.get(self.next_site())
        mine = [a for a in self._cut if layer is not None and a.layer == layer.index and a.target != "block"]
        if not mine:
            return found.output
        if any(ablation.replacement == "skip" for ablation in mine):
            self._without[found.number] = mine[0].layer
            return found.output
        self.changed.add(mine[0].layer)
        return replaced(found, mine, rows=self._rows, means=self._means)

    def added(self, addition: Addition) -> Tensor | None:
        """The stream without an attention that is taken out."""
        if addition.attention not in self._without:
            return None
        self.changed.add(self._without[addition.attention])
        return without_attention(addition)


@contextmanager
def _standing_in(modules: Sequence[nn.Module], stand_in: Callable[[Sequence[Any]], Any]) -> Iterator[None]:
    """Blocks return what `stand_in` makes of their arguments, or what they compute where it gives None."""
    own = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.forward = _wrapped(module.forward, stand_in)
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            del module.forward
            if forward is not None:
                module.forward = forward


def _wrapped(forward: Callable[..., Any], stand_in: Callable[[Sequence[Any]], Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        instead = stand_in((*args, *kwargs.values()))
        return forward(*args, **kwargs) if instead is None else instead

    return wrapped


def _copied(output: Any) -> Any:
    return tree_map_only(Tensor, Tensor.clone, output)


def _passed_through(kept: Any, given: Sequence[Any], name: str) -> Any:
    """What the block returned, its hidden states replaced by those it was given."""
    left = next(iter(tensors([kept])), None)
    entered = next((x for x in tensors(given) if left is not None and x.shape == left.shape), None)
    if entered is None or left is None:
        raise Inseparable(f"block {name!r} returns other shapes than it is given")
    return tree_map_only(Tensor, lambda tensor: (entered if tensor is left else tensor).clone(), kept)
