"""The numbers of a subject, whatever a family calls them."""

from pathlib import Path

import pytest

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model
from tests.architectures import tiny_model
from tests.checkpoint import making


@pytest.mark.parametrize(
    ("model_type", "task", "blocks", "heads", "kv_heads"),
    [
        ("bert", "causal", 2, 4, 4),
        ("deberta-v2", "masked", 2, 4, 4),
        ("gpt_bigcode", "causal", 2, 4, 1),  # multi_query
        ("t5", "seq2seq", 4, 4, 4),  # two stacks of two
        ("t5gemma", "seq2seq", 4, 4, 2),  # configured in parts, counted in the model
        ("perceiver", "masked", 2, 0, 0),  # neither number of heads is *the* number
    ],
)
def test_blocks_and_heads(model_type, task, blocks, heads, kv_heads, tmp_path: Path):
    """Blocks of both stacks together; a head of several queries to one key counts once among kv_heads."""
    folder = making.saved(tiny_model(model_type), tmp_path / "x")
    subject = load_model(open_checkpoint(folder)).subject
    assert (subject.task, subject.blocks, subject.heads, subject.kv_heads) == (task, blocks, heads, kv_heads)
