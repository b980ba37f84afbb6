"""What the heads of a model give on average over a corpus: the constant that may stand in for them."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from audit.interventions.readings import Array, Fed, fingerprint
from audit.models.observing import observe
from audit.observations import AttentionObservation
from audit.results.subject import LayerCoverage
from audit.sharing import once


class _Sums:
    """A receiver that adds up head outputs over all real positions."""

    def __init__(self, wanted: Collection[int]) -> None:
        self._wanted = wanted
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}

    def on_attention(self, observation: AttentionObservation) -> None:
        """One layer of one batch."""
        if observation.layer not in self._wanted or observation.head_output is None:
            return
        real = observation.queries[:, None, :, None]
        total = torch.where(real, observation.head_output.double(), 0.0).sum((0, 2))
        layer = observation.layer
        self._sums[layer] = self._sums[layer] + total if layer in self._sums else total
        self._counts[layer] = self._counts.get(layer, torch.tensor(0)) + real.sum()

    def means(self) -> dict[int, Tensor]:
        """By layer."""
        return {layer: total / self._counts[layer] for layer, total in self._sums.items()}


def mean_head_outputs(
    model: object, feeds: Sequence[Fed], *, layers: Sequence[LayerCoverage], wanted: Collection[int]
) -> dict[int, Tensor]:
    """Mean head outputs of the wanted layers over all tokens fed, float64 [head, value_dim] by layer."""
    if not wanted:
        return {}
    batches = [batch for fed in feeds for batch in fed.batches]

    def means() -> dict[int, Array]:
        sums = _Sums(wanted)
        for batch in batches:
            observe(model, batch, sums, layers=layers)
        return {layer: mean.cpu().numpy() for layer, mean in sums.means().items()}

    found = once(dict[int, Array], ["means", sorted(wanted), fingerprint(batches)], means)
    return {layer: torch.from_numpy(mean) for layer, mean in found.items()}
