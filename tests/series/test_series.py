"""The short form of `make series`: one seed of each rate, a quarter of the steps; and the scoring, which can fail."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.series.scoring import Trained, shortfalls, table
from tests.series.training import FAR_TOO_HIGH, SANE, divergence, train

OPTIONS = ("--samples", 16, "--max-length", 64, "--no-pdf", "--no-confirm")


@pytest.mark.parametrize(("rate", "code"), [(SANE, 0), (FAR_TOO_HIGH, 1)])
def test_the_command_warns_of_the_training_that_is_lost(tmp_path, attnaudit, rate, code):
    """And not of the other; drift from the weights themselves stands in the record."""
    train(tmp_path / "run", seed=10, rate=rate, steps=60, every=30)
    ran = attnaudit("series", tmp_path / "run", "-o", tmp_path / "audits", *OPTIONS, "--json")
    found = json.loads(ran.out)
    assert [step["label"] for step in found["steps"]] == ["checkpoint-0", "checkpoint-30", "checkpoint-60"]
    assert bool(found["warnings"]) == bool(code)
    assert ran.code == code
    first, *_, last = (
        load_file(tmp_path / "run" / f"checkpoint-{step}" / "model.safetensors") for step in (0, 60)
    )
    flat = [
        torch.cat([tensors[name].double().flatten() for name in sorted(first)]) for tensors in (first, last)
    ]
    assert found["moved"][-1] == pytest.approx(float((flat[1] - flat[0]).norm() / flat[0].norm()))


def test_a_checkpoint_that_is_not_finite_is_a_gap(tmp_path, attnaudit):
    """The series goes on, and a refused checkpoint is left out by name."""
    train(tmp_path / "run", seed=10, rate=SANE, steps=3, every=1)
    weights = tmp_path / "run" / "checkpoint-3" / "model.safetensors"
    tensors = load_file(weights)
    tensors["transformer.wte.weight"][0] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    (tmp_path / "run" / "checkpoint-2" / "model.safetensors").write_bytes(b"no")
    ran = attnaudit("series", tmp_path / "run", "-o", tmp_path / "audits", *OPTIONS)
    assert ran.code == 1, ran.err  # the verdict on weights that are not finite
    assert "left out: checkpoint-2" in ran.out
    assert "not finite" in ran.out


def test_one_checkpoint_is_no_series(tmp_path, attnaudit):
    """One line, exit code 2."""
    train(tmp_path / "run", seed=10, rate=SANE, steps=1, every=2)
    ran = attnaudit("series", tmp_path / "run", "-o", tmp_path / "audits")
    assert ran.code == 2
    assert "holds one checkpoint" in ran.err


def test_divergence_is_for_good():
    """A hump is none, a rise that stays is, and so is a loss that is not finite any more."""
    falling = [3 - step / 100 for step in range(100)]
    assert divergence(falling) is None
    assert divergence([*falling, *[4.0] * 40, *[1.9] * 40]) is None
    assert 100 < divergence([*falling, *[4.0] * 40]) < 110
    assert divergence([*falling, *[float("nan")] * 30]) == 101


def test_the_figures_can_be_missed():
    """Each in its own words."""
    losses = (3.0,) * 400

    def ran(rate, diverged, warned, seed=0):
        return Trained(seed, rate, losses, diverged, warned, "entropy collapse", 1.0)

    good = [ran(SANE, None, None), ran(FAR_TOO_HIGH, 150, 50)]
    assert shortfalls(good) == []
    assert "25%" in table(good)
    assert shortfalls([ran(SANE, None, 50), good[1]]) == ["seed 0 at 0.003 was warned of"]
    assert "0 of 1 divergences" in shortfalls([good[0], ran(FAR_TOO_HIGH, 150, 120)])[0]
    assert "did not diverge" in shortfalls([good[0], ran(FAR_TOO_HIGH, None, 50)])[0]
