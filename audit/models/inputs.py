"""What a model is fed for a batch, and which positions of each of its stacks are real."""

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from audit.errors import UnusableInput
from audit.observations import Batch


class Positions(NamedTuple):
    """The positions of one stack, bool [batch, token]."""

    tokens: Tensor  # False on padding
    special: Tensor


class Fed(NamedTuple):
    """Keyword arguments for `model.forward`, and the positions they make in each stack."""

    inputs: dict[str, Any]
    encoder: Positions
    decoder: Positions


def model_inputs(model: PreTrainedModel, batch: Batch, *, every_logit: bool = False) -> Fed:
    """What `model` is fed for `batch`: rows with their padding moved behind the text, no cache.

    An encoder-decoder reads the text and is forced to write it again (teacher forcing): position i of the decoder
    predicts token i. Logits of all positions cost more than a small model itself, so only the last is asked for
    unless `every_logit`.

    Raises:
        UnusableInput: the model takes no token ids.
    """
    accepted = inspect.signature(model.forward).parameters
    if "input_ids" not in accepted:
        raise UnusableInput(
            f"{type(model).__name__} takes {model.main_input_name!r}, not token ids: audit a model that reads text"
        )
    batch = padded_behind(batch)
    ids, mask = _with_own_padding(model, batch), batch.tokens.long().to(model.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    if model.config.is_encoder_decoder:
        inputs |= {"decoder_input_ids": _shifted(model, ids), "decoder_attention_mask": mask}
    if not every_logit:
        inputs["logits_to_keep"] = 1
    inputs = {name: value for name, value in inputs.items() if name in accepted}
    start = torch.ones_like(batch.special[:, :1])
    shifted = Positions(batch.tokens, torch.cat([start, batch.special[:, :-1]], dim=1))
    plain = Positions(batch.tokens, batch.special)
    return Fed(inputs, encoder=plain, decoder=shifted if model.config.is_encoder_decoder else plain)


def padded_behind(batch: Batch) -> Batch:
    """The same rows with their tokens moved to the front, so that padding stands behind them.

    No model then has to be told where a text begins, and padding on either side makes the same pass.
    """
    order = (~batch.tokens).int().argsort(dim=-1, stable=True)
    return Batch(
        input_ids=batch.input_ids.gather(1, order),
        tokens=batch.tokens.gather(1, order),
        special=batch.special.gather(1, order),
        samples=batch.samples,
        documents=batch.documents,
    )


def ordinary_ids(model: PreTrainedModel) -> Tensor:
    """Token ids that stand for text, int64 [id]: the vocabulary without those that a configuration gives a meaning.

    Ids of images, sounds, padding and ends of text make a model look for other inputs or ignore positions.
    """
    taken: set[Any] = set()
    for config in configurations(model):
        for name, value in vars(config).items():
            if name.endswith(("token_id", "token_index", "token_ids")):
                taken.update(value if isinstance(value, list | tuple) else [value])
    size = model.config.get_text_config().vocab_size
    return torch.tensor([token for token in range(size) if token not in taken])


def configurations(model: PreTrainedModel) -> list[PreTrainedConfig]:
    """Every configuration that a module of `model` holds or that stands within another."""
    waiting = [getattr(module, "config", None) for module in model.modules()]
    found: dict[int, PreTrainedConfig] = {}
    while waiting:
        config = waiting.pop()
        if isinstance(config, PreTrainedConfig) and id(config) not in found:
            found[id(config)] = config
            waiting += [getattr(config, name, None) for name in config.sub_configs]
    return list(found.values())


def _with_own_padding(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Token ids on the model's device, with its padding id at padding: some families derive positions from it."""
    pad = getattr(model.config.get_text_config(), "pad_token_id", None)
    ids = batch.input_ids if pad is None else batch.input_ids.masked_fill(~batch.tokens, pad)
    return ids.to(model.device)


def _shifted(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Decoder inputs for the labels `ids`: one position later, behind the id that starts a decoder."""
    names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
    configs = (model.config, model.generation_config, model.config.get_text_config(decoder=True))
    known = (getattr(config, name, None) for name in names for config in configs)
    start = next((token for token in known if isinstance(token, int)), 0)
    return torch.cat([torch.full_like(ids[:, :1], start), ids[:, :-1]], dim=1)
