"""From a config.json to everything the theory has to say about it: the one function reports and commands call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.theory.configuration import TOKENS, Reading, from_config
from audit.theory.diagram import Diagram, diagram


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was read of a configuration, and where that puts it before any training."""

    reading: Reading
    diagram: Diagram


def survey(
    config: Mapping[str, Any],
    *,
    tokens: int = TOKENS,
    residual_scaling: bool | None = None,
    similarity: float | None = None,
) -> Survey:
    """The trainability of a configuration at initialisation; nothing of a checkpoint's weights enters.

    Args:
        config: content of a config.json.
        tokens: sequence length T to judge at.
        residual_scaling: draw the residual projections with sd / sqrt(2L); None = as the family does.
        similarity: measured token cosine at the embeddings, where there is one.

    Raises:
        UnusableInput: a field the theory cannot do without is missing, or a value is absurd.
    """
    reading = from_config(config, tokens=tokens, residual_scaling=residual_scaling, similarity=similarity)
    found = diagram(reading.architecture, reading.initialisation, assumptions=reading.assumptions)
    return Survey(reading=reading, diagram=found)
