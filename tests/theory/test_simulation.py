"""The theory against simulated transformers: the one-minute form of `python -m tests.figures`."""

import numpy as np
import pytest

from audit.theory.propagation import propagate
from audit.theory.states import dials, start
from tests.simulation import Stack, anisotropies
from tests.theory.comparisons import (
    SIMILARITY,
    Case,
    Tables,
    architecture,
    bert,
    compare,
    gpt2,
    initialisation,
    planted,
    quick_cases,
    stacked,
    table,
)


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Overlaps by length and mask, filled as they are needed."""
    return {}


@pytest.mark.parametrize("case", quick_cases(), ids=lambda case: case.name)
def test_similarity_meets_simulation_at_every_layer(case: Case, tables: Tables):
    """Within .06 of the mean of eight seeds, whose standard error is well below that."""
    found = compare(case, 8, tables)
    assert found.error.max() < 0.03
    assert found.worst <= SIMILARITY


def test_published_map_would_miss_what_the_finite_one_meets(tables: Tables):
    """Around freezing the T -> infinity map is off by more than the tolerance: the finite one is not for show."""
    stack = Stack(beta=2.0, depth=4, placement="pre", mlp_width=256, activation="relu")
    found = compare(Case("near freezing", stack), 8, tables)
    assert abs(found.infinite - found.simulated).max() > SIMILARITY > found.worst


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_planted_gradients_meet_simulation(beta: float):
    """W_Q gradient of one layer: 15% for independent, 30% for correlated ones up to beta = 1, a factor 2 above."""
    found = planted(16, rhos=(0.1, 0.5), likenesses=(0.0, 1.0), betas=(beta,))
    assert all(ratio.held for ratio in found), [f"{r.name}: {r.value:.2f}" for r in found]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("shape", ["post", "pre"])
def test_gradients_of_whole_stacks_follow_from_the_configuration(shape: str, pooled: bool, tables: Tables):
    """W_Q gradient of every block, nothing measured, within 30%."""
    sizes = {"depth": 4, "beta": 0.5, "mlp_width": 512}
    stack = bert(**sizes) if shape == "post" else gpt2(causal=False, similarity=0.2, **sizes)
    found = stacked(shape, stack, 12, tables, pooled=pooled)
    assert all(ratio.held for ratio in found), [f"{r.name}: {r.value:.2f}" for r in found]


def test_scores_carry_gradient_backwards_too(tables: Tables):
    """Around freezing most of what reaches the first block has come through queries and keys."""
    stack = Stack(depth=3, beta=2.0, placement="pre", activation="relu", mlp_width=256)
    found = stacked("warm", stack, 12, tables, pooled=False)
    assert all(abs(ratio.value - 1) < 0.35 for ratio in found), [f"{r.name}: {r.value:.2f}" for r in found]


@pytest.mark.parametrize(
    "stack",
    [
        Stack(depth=4, beta=0.5, placement="pre", mlp_width=512),
        Stack(depth=4, beta=1.0, placement="post", mlp_width=512, gated=True, activation="silu"),
        Stack(
            depth=4, beta=0.5, placement="post", mlp_width=512, gated=True, activation="silu", similarity=0.6
        ),
    ],
    ids=["pre", "gated", "gated and alike"],
)
def test_unevenness_of_tokens_meets_simulation(stack: Stack, tables: Tables):
    """Within 20% after every block, while it grows to a multiple."""
    a, i = architecture(stack), initialisation(stack)
    path = propagate(a, dials(a, i), start(i), table(a, tables))
    expected = np.array([float(each.uneven) for each in path.states])
    drawn = np.mean([anisotropies(stack, seed) for seed in range(6)], axis=0)
    assert expected[-1] > 1.4
    np.testing.assert_allclose(expected, drawn, rtol=0.2)
