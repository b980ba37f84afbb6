"""The same architecture with fresh weights: what was never taught anything."""

import copy
from typing import Any

import torch

from audit.errors import MachineFault
from audit.models.devices import placed_like
from audit.models.loading import LoadedModel
from audit.models.offline import quiet

MOST_PARAMETERS = 1_000_000_000  # of a model that is made a second time


def reinitialised(loaded: LoadedModel, seed: int) -> Any | str:
    """A model of the same class and configuration with fresh, seeded weights; or why it is not made."""
    if loaded.streamed is not None:
        return "not run: the weights are streamed from disk (--max-memory), a second model would not fit"
    if loaded.subject.parameters > MOST_PARAMETERS:
        return f"not run: {loaded.subject.parameters:,} parameters would be in memory twice"
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(loaded.model)._from_config(  # noqa: SLF001 - there is no public door to a class's own
            copy.deepcopy(loaded.config), dtype=loaded.model.dtype, attn_implementation="eager"
        )
        try:
            return placed_like(model.eval().requires_grad_(requires_grad=False), loaded.model)
        except MachineFault as error:
            return f"not run: a second model was to stand beside the first: {error}"
