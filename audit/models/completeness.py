"""Holds what was loaded against what the architecture needs: nothing in the observed path may be made up."""

import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple

from audit.checkpoint.records import Checkpoint
from audit.checkpoint.wording import listed, quoted
from audit.errors import RefusedCheckpoint
from audit.models.selection import Choice, Task

# a pooler reads the last layer and feeds a classifier: no attention layer, no residual stream passes through it
_OFF_PATH = re.compile(r"(^|\.)pooler\.")
_LAYER_COUNTS = (
    "num_hidden_layers",
    "encoder_layers",
    "decoder_layers",
    "num_encoder_layers",
    "num_decoder_layers",
)
_SLACK = 3  # a head that the files lack can at most double a model that is all vocabulary
_SMALL = 10_000_000  # values; below this nothing is worth a refusal


class Complete(NamedTuple):
    """A model whose observed path comes from the files alone."""

    model: Any
    task: Task
    remarks: tuple[str, ...]


def refuse_implausible_depth(config: Any, checkpoint: Checkpoint) -> None:
    """Raises RefusedCheckpoint where the configuration counts more layers than the files hold tensors.

    Building such a model takes time and memory in proportion to a number somebody wrote into a text file.
    """
    described = max((_count(config, key) for key in _LAYER_COUNTS), default=0)
    if described > len(checkpoint.tensors):
        raise RefusedCheckpoint(
            f"the configuration of {quoted(checkpoint.directory)} describes {described} layers, its files hold "
            f"{len(checkpoint.tensors)} tensors: they do not belong together"
        )


def refuse_implausible_size(skeleton: Any, checkpoint: Checkpoint) -> None:
    """Raises RefusedCheckpoint where the model (on the meta device) is far larger than what the files hold."""
    described = sum(parameter.numel() for parameter in skeleton.parameters())
    held = stored_values(checkpoint)
    if described > _SLACK * held + _SMALL:
        raise RefusedCheckpoint(
            f"the configuration of {quoted(checkpoint.directory)} describes {described} parameters, its files hold "
            f"{held} values: they do not belong together"
        )


def stored_values(checkpoint: Checkpoint) -> int:
    """How many values all tensors of the files hold."""
    return sum(prod(header.shape) for header in checkpoint.tensors.values())


def completed(model: Any, report: Mapping[str, Any], choice: Choice, *, unused: Iterable[str]) -> Complete:
    """The loaded model, or the base inside it where the files lack the whole head, with remarks on the rest.

    `report` is transformers' loading report; `unused` are names that never reached the loader. Raises
    RefusedCheckpoint for tensors of another shape and for needed tensors that the files lack.
    """
    _refuse_mismatched(report["mismatched_keys"])
    base, prefix = model.base_model, f"{model.base_model_prefix}."
    missing = sorted(report["missing_keys"])
    head = [name for name in missing if base is not model and not name.startswith(prefix)]
    off_path = [name for name in missing if _OFF_PATH.search(name) and name not in head]
    needed = [name for name in missing if name not in head and name not in off_path]
    remarks = []
    if head and _may_go(model, head, choice, prefix):
        remarks.append(
            f"no language-model head in the files ({listed(head)} missing): the base model is audited"
        )
        model, task = base, _headless_task(model, choice)
    else:
        needed, task = [*needed, *head], choice.task
    _refuse_missing(needed, model)
    if off_path:
        remarks.append(
            f"{listed(off_path)} missing from the files: outside the observed path, and not measured"
        )
    if spare := sorted({*report["unexpected_keys"], *unused}):
        remarks.append(
            f"{len(spare)} tensors of the files not used by {type(model).__name__}: {listed(spare)}"
        )
    return Complete(model, task, tuple(remarks))


def _may_go(model: Any, head: list[str], choice: Choice, prefix: str) -> bool:
    """Whether the base may stand for the model: no part of the head is there, and its loss was not promised."""
    tied = getattr(model, "all_tied_weights_keys", {})
    whole = {
        name for name, _ in model.named_parameters() if not name.startswith(prefix) and name not in tied
    } <= set(head)
    return whole and not (choice.declared and choice.task in {"causal", "seq2seq"})


def _headless_task(model: Any, choice: Choice) -> Task:
    return "seq2seq" if choice.task == "seq2seq" and model.config.is_encoder_decoder else "encoder"


def _refuse_missing(missing: list[str], model: Any) -> None:
    if missing:
        raise RefusedCheckpoint(
            f"{len(missing)} tensors that {type(model).__name__} needs are missing from the files: "
            f"{listed(missing)}; they would have to be made up, so download or save the checkpoint again"
        )


def _refuse_mismatched(mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    found = sorted((name, list(stored), list(needed)) for name, stored, needed in mismatched)
    if found:
        name, stored, needed = found[0]
        more = f", and {len(found) - 1} more differ" if len(found) > 1 else ""
        raise RefusedCheckpoint(
            f"tensor {name!r} has shape {stored} in the files, the configuration needs {needed}{more}: "
            "configuration and weights do not belong together"
        )


def _count(config: Any, key: str) -> int:
    value = getattr(config.get_text_config(), key, 0)
    return value if isinstance(value, int) else 0
