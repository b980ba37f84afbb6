"""Makes a model without some of its blocks, and with some of its heads silenced, out of the weights of another."""

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from audit.errors import UnusableInput
from audit.models.sites import blocks as runs_of
from audit.results.subject import LayerCoverage

_COUNTS = {  # names under which configurations keep the number of blocks of a stack
    "encoder": ("encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers"),
    "decoder": ("decoder_layers", "num_decoder_layers", "num_layers", "num_hidden_layers"),
}


class Dropped(NamedTuple):
    """The blocks left out of one list of blocks."""

    list_name: str
    stack: str
    items: frozenset[int]
    of: int


def dropped(model: Any, layers: Sequence[LayerCoverage], chosen: Collection[int]) -> list[Dropped]:
    """Which items of which lists of blocks the chosen layers stand in.

    Raises:
        UnusableInput: a layer stands in no block, shares its block's weights with others, or no block would be left.
    """
    found: dict[str, Dropped] = {}
    for index in sorted(chosen):
        layer = layers[index]
        name, item = _place(model, layer)
        of = len(model.get_submodule(name))
        before = found.get(name, Dropped(name, layer.stack, frozenset(), of))
        found[name] = before._replace(items=before.items | {item})
    for each in found.values():
        if len(each.items) == each.of:
            raise UnusableInput(
                f"all {each.of} blocks of {each.list_name!r} would be dropped: leave one at least"
            )
    return list(found.values())


def without_blocks(weights: Mapping[str, Tensor], left_out: Sequence[Dropped]) -> dict[str, Tensor]:
    """The weights by the names they have once the blocks left are numbered anew."""
    made = dict(weights)
    for each in left_out:
        number = {old: new for new, old in enumerate(i for i in range(each.of) if i not in each.items)}
        inside = re.compile(re.escape(each.list_name) + r"\.(\d+)\.(.*)", re.DOTALL)
        renamed = {}
        for name, tensor in made.items():
            match = inside.fullmatch(name)
            if match is None:
                renamed[name] = tensor
            elif int(match[1]) in number:
                renamed[f"{each.list_name}.{number[int(match[1])]}.{match[2]}"] = tensor
        made = renamed
    return made


def shrunk_configuration(config: Any, left_out: Sequence[Dropped]) -> Any:
    """A copy of `config` with fewer blocks; lists with an entry per block lose the same entries.

    Raises:
        UnusableInput: the configuration does not say how many blocks it has.
    """
    made = copy.deepcopy(config)
    for each in left_out:
        part = made if made.is_encoder_decoder else made.get_text_config()
        names = [name for name in _COUNTS[each.stack] if getattr(part, name, None) == each.of]
        if not names:
            raise UnusableInput(
                f"{type(config).__name__} does not say that {each.list_name!r} has {each.of} blocks"
            )
        for name, value in list(vars(part).items()):
            if isinstance(value, list | tuple) and len(value) == each.of:
                setattr(part, name, [entry for i, entry in enumerate(value) if i not in each.items])
        setattr(part, names[0], each.of - len(each.items))
    return made


def silenced(
    model: Any, layers: Sequence[LayerCoverage], heads: Mapping[int, Collection[int] | None]
) -> dict[str, Tensor]:
    """The output projections in which the chosen heads are zero, by name; None silences a layer, its bias included.

    Raises:
        UnusableInput: no plain output projection was seen for a layer.
    """
    made: dict[str, Tensor] = {}
    names = {id(module): name for name, module in model.named_modules()}
    found = {each.name: each for run in (runs_of(model) if heads else []) for each in run.attentions}
    for layer, chosen in heads.items():
        attending = found.get(layers[layer].name)
        projection = attending.projection if attending is not None else None
        if attending is None or not isinstance(projection, nn.Linear | Conv1D):
            raise UnusableInput(
                f"layer {layer}: its output projection is no plain matrix, so no head can be silenced"
            )
        weight = projection.weight.detach().clone()
        rows = weight.T if isinstance(projection, nn.Linear) else weight  # [head * value_dim, width], a view
        slices = rows.unflatten(0, (attending.heads, -1))
        slices[list(range(attending.heads) if chosen is None else chosen)] = 0.0
        made[f"{names[id(projection)]}.weight"] = weight
        if chosen is None and projection.bias is not None:
            made[f"{names[id(projection)]}.bias"] = torch.zeros_like(projection.bias)
    return made


def built(model: Any, config: Any, weights: Mapping[str, Tensor]) -> Any:
    """A model of the same class with that configuration and exactly these weights, which are not copied.

    Buffers that no checkpoint stores stay empty: it is good for saving, not for running.

    Raises:
        UnusableInput: the architecture needs other weights, because its blocks are not alike.
    """
    with torch.device("meta"):
        made = type(model)(config)
    try:
        made.load_state_dict(dict(weights), strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UnusableInput(f"{type(model).__name__} cannot do without these blocks: {reason}") from error
    made.tie_weights()
    return made.eval()


def _place(model: Any, layer: LayerCoverage) -> tuple[str, int]:
    """Name of the list of blocks, and the item of it that `layer` stands in."""
    if "@" in layer.name:
        raise UnusableInput(
            f"layer {layer.index} shares the weights of its block with others: it cannot be dropped"
        )
    parts = layer.name.split(".")
    for end in range(1, len(parts)):
        name = ".".join(parts[:end])
        if isinstance(model.get_submodule(name), nn.ModuleList):
            return name, int(parts[end])
    raise UnusableInput(f"layer {layer.index} ({layer.name!r}) stands in no block: it cannot be dropped")
