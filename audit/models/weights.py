"""Reads what can be known of a model from its weights alone."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from audit.models.products import products
from audit.models.sites import Attending, blocks
from audit.observations import WeightObservation
from audit.results.subject import LayerCoverage


def weight_observations(
    model: PreTrainedModel, layers: Sequence[LayerCoverage], *, with_products: bool = False
) -> Iterator[WeightObservation]:
    """W_O of each observable layer, one slice [value_dim, width] per head; None where it is no plain matrix.

    Which matrix it is was seen in a pass: the one that multiplies the head outputs, side by side. W_Q and W_K are
    found by differentiating a pass, and only where asked for `with_products`.
    """
    both = products(model, layers) if with_products else {}
    found = {attending.name: attending for block in blocks(model) for attending in block.attentions}
    for layer in layers:
        if layer.name in found and layer.heads:
            query, key = both.get(layer.index, (None, None))
            yield WeightObservation(layer.index, _slices(found[layer.name]), query, key)


def nonfinite_tensors(model: PreTrainedModel) -> tuple[tuple[str, int], ...]:
    """Names of the parameters and buffers that hold NaN or infinity, and how many entries of each do."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    counts = ((name, _nonfinite(tensor)) for name, tensor in tensors if tensor.is_floating_point())
    return tuple((name, count) for name, count in counts if count)


def _slices(attending: Attending) -> Tensor | None:
    projection = attending.projection
    if isinstance(projection, nn.Linear):
        matrix = projection.weight.detach().T
    elif isinstance(projection, Conv1D):
        matrix = projection.weight.detach()
    else:
        return None
    fits = matrix.shape[0] == attending.head_outputs.shape[-1]
    return matrix.reshape(attending.heads, -1, matrix.shape[1]) if fits else None


def _nonfinite(tensor: Tensor) -> int:
    """Entries that are not finite; the sum is finite only when all are, and is an order cheaper to look at."""
    if bool(torch.isfinite(tensor.sum(dtype=torch.float64))):
        return 0
    return int((~torch.isfinite(tensor)).sum())
