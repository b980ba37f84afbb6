"""Who is audited, in numbers: read from the configuration, which names them differently in each family."""

from typing import Any

from torch.nn import ModuleList

from audit.checkpoint.records import Checkpoint
from audit.models.selection import Task
from audit.results.subject import Subject


def subject_of(checkpoint: Checkpoint, model: Any, task: Task, remarks: tuple[str, ...]) -> Subject:
    """The record of a loaded checkpoint; parameters are counted once where they are tied.

    Heads are the configuration's, 0 where it does not tell: the observed layers know better.
    """
    text = model.config.get_text_config()
    heads = _number(text, "num_attention_heads", "encoder_attention_heads", "n_head")
    return Subject(
        digest=checkpoint.digest,
        model_type=checkpoint.model_type,
        architecture=type(model).__name__,
        task=task,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        blocks=_blocks(model.config, text) or _outermost_items(model),
        heads=heads,
        kv_heads=_kv_heads(text, heads),
        files=checkpoint.files,
        adapter=checkpoint.adapter.digest if checkpoint.adapter else None,
        remarks=checkpoint.remarks + remarks,
    )


def _blocks(config: Any, text: Any) -> int:
    """Blocks of the stack, or of both stacks together."""
    if config.is_encoder_decoder:
        encoder = _number(config, "encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers")
        return encoder + _number(
            config, "decoder_layers", "num_decoder_layers", "num_layers", "num_hidden_layers"
        )
    return _number(text, "num_hidden_layers", "num_layers", "n_layer")


def _outermost_items(model: Any) -> int:
    """Blocks counted in the model itself, for configurations that keep their numbers in parts."""
    lists = [
        (f"{name}.", len(module)) for name, module in model.named_modules() if isinstance(module, ModuleList)
    ]
    return sum(size for name, size in lists if not any(name != n and name.startswith(n) for n, _ in lists))


def _kv_heads(config: Any, heads: int) -> int:
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return 1
    return _number(config, "num_key_value_heads", "num_kv_heads") or heads


def _number(config: Any, *names: str) -> int:
    """The first of these attributes that is a number, else 0."""
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), 0)
