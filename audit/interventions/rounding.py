"""What rounding to bfloat16 does to the readings of a model, as a yardstick for the effects of taking things out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audit.interventions.readings import Array, Fed, Objective, Samples
from audit.models.passes import eager
from audit.numerics import rounded


def rounding_effect(model: Any, feeds: Sequence[Fed], objective: Objective, samples: Samples) -> float | None:
    """The effect that computing products in bfloat16 alone has; None where the model is no more precise itself."""
    if model.dtype != torch.float32:
        return None
    read: list[Array] = []
    with torch.no_grad(), eager(model), torch.autocast(model.device.type, dtype=torch.bfloat16):
        for batch in (batch for fed in feeds for batch in fed.batches):
            question = objective.ask(batch)
            read.append(question.read(model(**question.fed.inputs)))
    changes = objective.changes(samples, np.concatenate(read))
    return rounded(objective.as_effect(float(changes.mean())))
