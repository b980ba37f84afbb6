"""How many positions a model has for text."""

from torch import nn
from transformers import PreTrainedModel


def usable_positions(model: PreTrainedModel) -> int | None:
    """The longest text the model has positions for, in tokens; None where its configuration sets no limit.

    RoBERTa and its kin count positions from behind the padding index and so have two fewer than they say.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    tables = [
        module
        for name, module in model.named_modules()
        if name.endswith("position_embeddings")
        and isinstance(module, nn.Embedding)
        and module.padding_idx is not None
    ]
    return min([table.num_embeddings - 1 - (table.padding_idx or 0) for table in tables], default=limit)
