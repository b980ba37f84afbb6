"""How many positions a model has for text, and which of them training never reached."""

import itertools
import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

RUN = 8  # rows: single ones may lie apart from their neighbours, as that of [CLS] does
_TABLE = re.compile(r"(^|\.)(wpe|(?!relative)\w*position\w*)$")


class Positions(NamedTuple):
    """A learned table of positions."""

    rows: int  # 0 where there is none
    untrained: tuple[tuple[int, int], ...]  # first and last row of each run


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


def learned_positions(model: PreTrainedModel) -> Positions:
    """The first table of learned positions, and the runs of its rows that look as they were drawn.

    Training makes neighbours alike; rows as drawn have a cosine of 1/sqrt(width) about 0. Where the rows of a table
    are not alike in the main there is nothing to tell them apart by, and no run is named.
    """
    table = position_table(model)
    return Positions(0, ()) if table is None else Positions(len(table), _as_drawn(table.double()))


def position_table(model: PreTrainedModel) -> Tensor | None:
    """The first table of absolute positions that is a module of its own, [position, width]; None where there is none."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and _TABLE.search(name):
            rows: Tensor = module.weight.detach()
            return rows
    return None


def rotary_frequencies(model: PreTrainedModel) -> Tensor | None:
    """Radians per token of each pair of channels that the first rotary module turns, [pair]; None without one."""
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] == "inv_freq" and isinstance(buffer, Tensor) and buffer.dim() == 1:
            found: Tensor = buffer.detach()
            return found
    return None


def rotary_base(model: PreTrainedModel) -> float | None:
    """The base of the rotary wavelengths, where the configuration names one for all layers."""
    given = getattr(model.config.get_text_config(), "rope_parameters", None)
    base = given.get("rope_theta") if isinstance(given, dict) else None
    return float(base) if isinstance(base, int | float) else None


def _as_drawn(table: Tensor) -> tuple[tuple[int, int], ...]:
    alike = torch.cosine_similarity(table[1:], table[:-1], dim=1)
    limit = 4 / table.shape[1] ** 0.5  # of rows as drawn, one in 16,000 lies beyond
    if not len(alike) or float(alike.median()) <= 2 * limit:
        return ()
    apart = torch.nn.functional.pad(alike.abs() < limit, (1, 1), value=True)
    runs, start = [], 0
    for lonely, rows in itertools.groupby((apart[1:] & apart[:-1]).tolist()):
        length = len(list(rows))
        if lonely and length >= RUN:
            runs.append((start, start + length - 1))
        start += length
    return tuple(runs)
