"""From an opened checkpoint to a model that is ready to be observed, with nothing fetched and nothing made up."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil
import torch
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from audit.checkpoint.records import Checkpoint
from audit.checkpoint.wording import first_line, quoted
from audit.errors import AuditError, MachineFault, RefusedCheckpoint
from audit.models.adapters import merged
from audit.models.completeness import (
    Complete,
    completed,
    refuse_implausible_depth,
    refuse_implausible_size,
    stored_values,
)
from audit.models.devices import placed
from audit.models.gguf_weights import gguf_tensors
from audit.models.offline import offline, quiet
from audit.models.selection import Choice, Task, choose
from audit.models.stored import stored_tensors
from audit.models.streaming import Room, Streamed, needs_streaming, stream
from audit.models.subject import subject_of
from audit.models.tokenizer import load_tokenizer
from audit.results.subject import Subject

_NO_CODE = ("auto_map", "custom_pipelines")  # offers of remote code, which are never taken up


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode without gradients, and what is known of it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    task: Task  # "encoder" is whatever has no language-model head: hidden states only
    config: PreTrainedConfig
    subject: Subject
    streamed: Streamed | None = None  # where its weights stay on disk


class _Tensors(NamedTuple):
    by_name: dict[str, Any]
    unused: tuple[str, ...]


def load_model(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    available_memory: int | None = None,
    room: Room | None = None,
) -> LoadedModel:
    """The model of `checkpoint` with eager attention, weights in `dtype` on `device` (or spread), an adapter merged in.

    The hub is never asked, no code of the checkpoint is run, and nothing is printed. `available_memory` (bytes)
    replaces what the machine says. Weights that would fill more than a share of `room` stay on disk. Raises
    RefusedCheckpoint where files and architecture do not agree, UnusableInput for a device that is not there,
    MachineFault where memory does not suffice.
    """
    streams = room is not None and needs_streaming(checkpoint, dtype, room, device=device)
    views: set[int] | None = set() if streams else None
    if not streams:
        _refuse_too_large(checkpoint, dtype, available_memory)
    with offline(), quiet(), _faults(checkpoint), torch.random.fork_rng(devices=[]):
        config = _configuration(checkpoint)
        refuse_implausible_depth(config, checkpoint)
        complete = _built(checkpoint, config, choose(config), dtype, views)
        model = merged(complete.model, checkpoint.adapter) if checkpoint.adapter else complete.model
        model = placed(model.eval().requires_grad_(requires_grad=False), device)
        streamed = stream(model, dtype, room, views) if room is not None and views is not None else None
        found = load_tokenizer(checkpoint, model.config, rows=_embedded(model))
    subject = subject_of(checkpoint, model, complete.task, complete.remarks + found.remarks)
    return LoadedModel(
        model=model,
        tokenizer=found.tokenizer,
        task=complete.task,
        config=model.config,
        subject=subject,
        streamed=streamed,
    )


def _configuration(checkpoint: Checkpoint) -> Any:
    values = {key: value for key, value in checkpoint.config.items() if key not in _NO_CODE}
    try:
        return CONFIG_MAPPING[checkpoint.model_type].from_dict(values)
    except MemoryError:
        raise
    except Exception as error:  # each configuration class validates in its own way
        raise RefusedCheckpoint(
            f"the configuration of {quoted(checkpoint.directory)} is no valid {checkpoint.model_type!r} "
            f"configuration: {first_line(error)}"
        ) from error


def _built(
    checkpoint: Checkpoint, config: Any, choice: Choice, dtype: torch.dtype, views: set[int] | None
) -> Complete:
    with torch.device("meta"):
        skeleton = choice.model_class(config)
    refuse_implausible_size(skeleton, checkpoint)
    with _tensors(checkpoint, skeleton, views) as tensors:
        model, report = choice.model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors.by_name,
            dtype=dtype,
            attn_implementation="eager",
            local_files_only=True,
            weights_only=True,
            use_safetensors=checkpoint.form != "pickle",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # only to learn which: `completed` refuses every one
        )
    model.config.name_or_path = ""  # loaded from no path, which the library would spell 'None'
    return completed(model, report, choice, unused=tensors.unused)


@contextmanager
def _tensors(checkpoint: Checkpoint, skeleton: Any, views: set[int] | None) -> Iterator[_Tensors]:
    if checkpoint.form == "gguf":
        path = checkpoint.directory / str(checkpoint.gguf_file)
        yield _Tensors(*gguf_tensors(path, checkpoint.config, skeleton))
        return
    with stored_tensors(checkpoint, views=views) as stored:
        yield _Tensors(stored, ())


@contextmanager
def _faults(checkpoint: Checkpoint) -> Iterator[None]:
    """Turns what the libraries raise into errors with an exit code."""
    where = quoted(checkpoint.directory)
    try:
        yield
    except AuditError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise MachineFault(f"memory gave out while {where} was loaded: use a machine with more") from error
    except OSError as error:
        raise MachineFault(f"{where} could not be read while it was loaded: {first_line(error)}") from error
    except Exception as error:
        if "can't allocate memory" in str(error):  # torch's CPU allocator has no class of its own
            raise MachineFault(
                f"memory gave out while {where} was loaded: use a machine with more"
            ) from error
        raise RefusedCheckpoint(
            f"transformers cannot build {checkpoint.model_type!r} from {where}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def _refuse_too_large(checkpoint: Checkpoint, dtype: torch.dtype, available: int | None) -> None:
    needed = stored_values(checkpoint) * dtype.itemsize
    free = psutil.virtual_memory().available if available is None else available
    if needed > free:
        raise MachineFault(
            f"{quoted(checkpoint.directory)} needs {needed / 1e9:.1f} GB as {dtype}, and {free / 1e9:.1f} GB of "
            "memory are free: use a machine with more, or a narrower --dtype"
        )


def _embedded(model: Any) -> int:
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError):
        return int(getattr(model.config.get_text_config(), "vocab_size", 0) or 0)
