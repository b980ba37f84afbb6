"""Learned positions: found by their table, and those that training never reached told from the others."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from audit.models.positions import Positions, learned_positions
from tests.architectures import tiny_model


def model(table: torch.Tensor, name: str = "position_embeddings") -> Any:
    held = nn.ModuleDict({name: nn.Embedding.from_pretrained(table)})
    return SimpleNamespace(named_modules=held.named_modules)


def smooth(rows: int = 128, width: int = 256) -> torch.Tensor:
    """Rows alike to their neighbours, as training makes them."""
    drawn = torch.randn((rows + 16, width), generator=torch.Generator().manual_seed(0))
    return torch.stack([drawn[i : i + 8].mean(0) for i in range(rows)])


def test_rows_that_were_never_trained_are_named():
    """A tail and a hole as they were drawn, in a table that is otherwise smooth."""
    table = smooth()
    noise = torch.randn(table.shape, generator=torch.Generator().manual_seed(1))
    table[96:] = noise[96:]
    table[40:52] = noise[40:52]
    rows, runs = learned_positions(model(table))
    assert rows == 128
    assert runs == ((40, 51), (96, 127))


def test_trained_tables_and_single_rows_are_left_alone():
    """Also a table that is nowhere smooth: nothing there tells trained rows from others."""
    table = smooth()
    table[0] = torch.randn(256, generator=torch.Generator().manual_seed(2))
    assert learned_positions(model(table)) == Positions(128, ())
    drawn = torch.randn((128, 256), generator=torch.Generator().manual_seed(3))
    assert learned_positions(model(drawn)) == Positions(128, ())


@pytest.mark.parametrize(
    ("model_type", "task", "found"),
    [
        ("bert", "masked", True),
        ("gpt2", "causal", True),
        ("llama", "causal", False),
        ("t5", "seq2seq", False),
    ],
)
def test_tables_are_found_by_their_name(model_type: str, task: Any, found: bool):
    """BERT and GPT-2 learn positions; rotary and relative ones are no tables of positions."""
    assert (learned_positions(tiny_model(model_type, task)).rows > 0) is found
