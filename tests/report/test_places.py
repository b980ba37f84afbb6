"""Names of places and of checkpoints."""

from dataclasses import replace

import pytest

from audit.report.places import map_of_layers, name_of, place
from tests.report.example import example_audit


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("models/all-MiniLM-L6-v2/", "all-MiniLM-L6-v2"),
        ("/x/gt_minilm/model", "gt_minilm/model"),
        (
            "hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc",
            "sentence-transformers/all-MiniLM-L6-v2",
        ),
        ("C:\\models\\smol.gguf", "smol.gguf"),
        (".", "checkpoint"),
        ("x" * 200, "x" * 80 + "… (120 characters more)"),
    ],
)
def test_a_checkpoint_is_called_by_a_name_that_says_something(path, name):
    """The hub's name, or the last folder that is not called 'model'."""
    assert name == name_of(path)


def test_stacks_are_told_apart_only_where_there_are_several():
    """An encoder-decoder says which attention a layer is; a plain model does not repeat itself."""
    coverage = example_audit(layers=3, heads=2).coverage
    first, second, third = coverage.layers
    mixed = replace(
        coverage,
        layers=(first, replace(second, stack="decoder"), replace(third, stack="decoder", kind="cross")),
    )

    assert place(coverage, 2, 1) == "layer 2, head 1"
    assert place(mixed, 2, 1) == "layer 2 (decoder cross-attention), head 1"
    assert place(coverage, None, None) == "whole model"
    assert map_of_layers(coverage) == ""
    assert "Layers 2: decoder cross-attention." in map_of_layers(mixed)
