"""Which heads write alike, within a layer and between layers."""

import json
from pathlib import Path

import pytest
import torch

from audit import plan as planning
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.metrics.twin_similarity import centred_kernels
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.results import Plan
from audit.similarity import clusters, draw_similarity, kernels_of, similarity


def kernels(outputs: torch.Tensor) -> torch.Tensor:
    return centred_kernels(outputs, torch.ones(outputs.shape[0], outputs.shape[2], dtype=torch.bool)).float()


def test_a_copy_in_another_layer_is_found_and_linked() -> None:
    """Rotated and scaled copies are likeness one; independent heads are near zero whatever their width."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 8, 2, 16, 64, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=generator, dtype=torch.float64)).Q
    second[:, 1] = 3.0 * first[:, 0] @ rotation
    likeness, heads = similarity({0: kernels(first), 4: kernels(second)})

    assert heads == [(0, 0), (0, 1), (4, 0), (4, 1)]
    assert likeness[0, 3] == pytest.approx(1.0, abs=1e-4)
    assert likeness.triu(1).masked_fill(likeness > 0.99, 0.0).abs().max() < 0.3
    assert clusters(likeness, heads) == [[(0, 0), (4, 1)]]


def test_a_common_constant_does_not_make_heads_alike() -> None:
    """What a head adds to every token alike is a bias; likeness is in what it tells apart."""
    outputs = torch.randn(8, 2, 16, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    likeness, _ = similarity({0: kernels(outputs + 10.0)})

    assert abs(likeness[0, 1]) < 0.3


def test_heads_are_linked_through_others() -> None:
    """A chain is one cluster; lone heads are in none."""
    likeness = torch.eye(4)
    likeness[0, 2] = likeness[2, 0] = likeness[2, 3] = likeness[3, 2] = 0.95
    assert clusters(likeness, [(0, 0), (0, 1), (0, 2), (1, 0)]) == [[(0, 0), (0, 2), (1, 0)]]


def test_the_exhibit_of_a_real_model_holds_a_matrix_per_layer(bert_tiny: Path, tmp_path: Path) -> None:
    """Symmetric, ones on the diagonal, and the number of layers between."""
    loaded = load_model(open_checkpoint(bert_tiny))
    plan = Plan(probes=("prose",), samples=4, max_length=64)
    feeds = [cut(probe, loaded, plan) for probe in planning.probes(plan)]
    layers = survey(loaded.model)
    (exhibit,) = draw_similarity(kernels_of(loaded, feeds[0], layers), feeds[0], layers, tmp_path)
    content = json.loads((tmp_path / "similarity.json").read_text())

    assert (exhibit.kind, content["probe"], content["samples"]) == ("similarity", "prose", 4)
    assert [entry["layer"] for entry in content["layers"]] == [0, 1]
    (one, two), (three, four) = content["layers"][0]["matrix"]
    assert (one, four, two) == (1.0, 1.0, three)
    assert len(content["between"]) == 2
