"""Writes a smaller checkpoint: blocks are left out, heads and attention sublayers silenced."""

import math
import shutil
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audit.errors import MachineFault, UnusableInput
from audit.interventions.ablation import Ablation, Cut
from audit.interventions.prefix import clean_pass, resumed
from audit.interventions.shrinking import built, dropped, shrunk_configuration, silenced, without_blocks
from audit.models.devices import placed_like
from audit.models.inputs import Fed, model_inputs, ordinary_ids
from audit.models.labels import tensors
from audit.models.loading import LoadedModel
from audit.models.offline import offline, quiet
from audit.observations import Batch
from audit.results.subject import LayerCoverage

TRIED = 16  # tokens on which the written checkpoint is compared with the model it stands for
NEAR = {
    torch.float32: 1e-3,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}  # relative difference that rounding may leave


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was written."""

    directory: Path
    dtype: str  # of the weights in the files
    parameters_before: int
    parameters_after: int
    blocks: tuple[int, ...]  # layers whose block was left out
    silenced_heads: tuple[tuple[int, int], ...]  # layer and head: zero in W_O, not removed
    silenced_attention: tuple[int, ...]  # layers whose attention adds nothing: zero in W_O, not removed
    difference: float  # between its output and that of the model with the same things taken out, relative


def prune(
    loaded: LoadedModel,
    directory: Path,
    *,
    layers: Sequence[LayerCoverage],
    blocks: Collection[int] = (),
    attention: Collection[int] = (),
    heads: Collection[tuple[int, int]] = (),
    dtype: torch.dtype | None = None,
) -> Pruned:
    """Writes the model without these parts as a plain Hugging Face folder, and makes sure that it is that.

    Blocks are really gone. Heads and attention sublayers cannot be left out of one layer only in the architectures of
    transformers: their part of the output projection is set to zero, so they are silent but cost what they did.
    What was written is loaded again and compared with the model in which the same is skipped or silenced.

    Args:
        loaded: the model; it is left as it was.
        directory: a folder that does not exist yet, or is empty.
        layers: `coverage.layers`; everything is named by index into it.
        blocks: layers whose block is left out.
        attention: layers whose attention is silenced.
        heads: layer and head to be silenced.
        dtype: of the files; by default float16 for a checkpoint that came as GGUF, else what the model computes in.

    Raises:
        UnusableInput: the folder is in use, an index is unknown, or the architecture cannot do without it.
        MachineFault: the folder cannot be written.
    """
    refuse_used(directory)
    model, stored = loaded.model, dtype or _stored_dtype(loaded)
    cut = cut_of(layers, blocks=blocks, attention=attention, heads=heads)
    left_out = dropped(model, layers, blocks)
    quiet_heads = {a.layer: None if a.target == "attention" else a.heads for a in cut if a.target != "block"}
    weights = without_blocks({**model.state_dict(), **silenced(model, layers, quiet_heads)}, left_out)
    made = built(model, shrunk_configuration(loaded.config, left_out), _cast(weights, stored))
    if made.can_generate():
        made.generation_config = model.generation_config
    difference = _written(made, loaded, directory, layers=layers, cut=cut, dtype=stored)
    return Pruned(
        directory=directory,
        dtype=str(stored).removeprefix("torch."),
        parameters_before=sum(p.numel() for p in model.parameters()),
        parameters_after=sum(p.numel() for p in made.parameters()),
        blocks=tuple(a.layer for a in cut if a.target == "block"),
        silenced_heads=tuple((a.layer, head) for a in cut if a.target == "head" for head in a.heads),
        silenced_attention=tuple(a.layer for a in cut if a.target == "attention"),
        difference=difference,
    )


def refuse_used(directory: Path) -> None:
    """Raise UnusableInput where `directory` cannot become a new checkpoint's folder."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UnusableInput(
            f"{str(directory)!r} exists and is no empty folder: name another for the new checkpoint"
        )


def _refuse_unknown(
    layers: Sequence[LayerCoverage],
    blocks: Collection[int],
    attention: Collection[int],
    heads: Collection[tuple[int, int]],
) -> None:
    for layer in (*blocks, *attention, *(layer for layer, _ in heads)):
        if not 0 <= layer < len(layers):
            raise UnusableInput(f"there is no layer {layer}: the model has {len(layers)}, counted from 0")
    for layer, head in heads:
        if not 0 <= head < layers[layer].heads:
            raise UnusableInput(
                f"there is no head {head} in layer {layer}: it has {layers[layer].heads}, from 0"
            )
    if not (blocks or attention or heads):
        raise UnusableInput("nothing to leave out was named: give layers or heads")


def _stored_dtype(loaded: LoadedModel) -> torch.dtype:
    """Of the files to be written: GGUF weights were quantised, and float16 loses nothing that they still had."""
    from_gguf = any(file.name.endswith(".gguf") for file in loaded.subject.files)
    dtype: torch.dtype = torch.float16 if from_gguf else loaded.model.dtype
    return dtype


def cut_of(
    layers: Sequence[LayerCoverage],
    *,
    blocks: Collection[int] = (),
    attention: Collection[int] = (),
    heads: Collection[tuple[int, int]] = (),
) -> Cut:
    """The same as an ablation, each part once: what stands in a dropped block or silenced attention goes with it.

    Raises:
        UnusableInput: an index is unknown, or nothing is named.
    """
    _refuse_unknown(layers, blocks, attention, heads)
    gone = {(layers[layer].stack, layers[layer].block) for layer in blocks}
    mute = sorted({layer for layer in attention if (layers[layer].stack, layers[layer].block) not in gone})
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(set(heads)):
        if (layers[layer].stack, layers[layer].block) not in gone and layer not in mute:
            by_layer.setdefault(layer, []).append(head)
    once = {(layers[layer].stack, layers[layer].block): layer for layer in sorted(blocks, reverse=True)}
    return (
        *(Ablation(target="block", layer=layer, replacement="skip") for layer in sorted(once.values())),
        *(Ablation(target="attention", layer=layer, replacement="skip") for layer in mute),
        *(
            Ablation(target="head", layer=layer, replacement="zero", heads=tuple(chosen))
            for layer, chosen in by_layer.items()
        ),
    )


def _cast(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights in `dtype`; those that share memory go on sharing it."""
    made: dict[int, Tensor] = {}
    for tensor in weights.values():
        if tensor.data_ptr() not in made:
            made[tensor.data_ptr()] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return {name: made[tensor.data_ptr()] for name, tensor in weights.items()}


def _written(
    made: Any,
    loaded: LoadedModel,
    directory: Path,
    *,
    layers: Sequence[LayerCoverage],
    cut: Cut,
    dtype: torch.dtype,
) -> float:
    """Writes beside the folder, tries what was written, and only then gives it its name; returns the difference."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=directory.parent, prefix=".pruning-") as scratch,
            offline(),
            quiet(),
        ):
            folder = Path(scratch) / "checkpoint"
            made.save_pretrained(folder)
            if loaded.tokenizer is not None:
                loaded.tokenizer.save_pretrained(folder)
            for path in folder.iterdir():  # weights are written for their owner only
                path.chmod((folder / "config.json").stat().st_mode)
            difference = _difference(folder, loaded, layers, cut)
            if math.isnan(difference):
                raise UnusableInput(
                    "what the model puts out is not finite, so that nothing can be compared: nothing was written"
                )
            if difference > NEAR[dtype]:
                raise UnusableInput(
                    f"{type(made).__name__} does not do without these parts what it does when they are skipped "
                    f"(outputs differ by {difference:.1%}): its blocks depend on their number, so nothing was written"
                )
            if directory.exists():
                directory.rmdir()
            shutil.move(folder, directory)
    except OSError as error:
        reason = error.strerror or error
        raise MachineFault(
            f"{str(directory)!r} cannot be written: {reason}; free space or name another"
        ) from error
    return difference


def _difference(folder: Path, loaded: LoadedModel, layers: Sequence[LayerCoverage], cut: Cut) -> float:
    """Relative difference between the outputs of what was written and of the model with the cut."""
    model = loaded.model
    fed = _few_tokens(model)
    clean = clean_pass(model, fed, layers=layers, keep=None)
    expected = _first(resumed(model, fed, clean, cut, start=0, means={}))
    again = type(model).from_pretrained(folder, dtype=model.dtype, local_files_only=True).eval()
    with suppress(MachineFault):  # there may be no room for two: the CPU tells as well
        again = placed_like(again, model)
    with torch.no_grad():
        found = _first(again(**_few_tokens(again).inputs))
    return float((found - expected).norm() / expected.norm())


def _few_tokens(model: Any) -> Fed:
    """Random tokens that stand for text."""
    ids = ordinary_ids(model)
    picked = ids[torch.randint(len(ids), (1, TRIED), generator=torch.Generator().manual_seed(0))]
    tokens = torch.ones_like(picked, dtype=torch.bool)
    return model_inputs(
        model, Batch(picked, tokens, ~tokens, samples=(0,), documents=("",)), every_logit=True
    )


def _first(output: Any) -> Tensor:
    """Logits, or the last hidden states, in float64."""
    return next(tensors(list(output.values()))).cpu().double()
