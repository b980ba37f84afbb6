"""What is said of a finding follows from what its cuts cost, and from nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from audit.interventions.ablation import Ablation, Cut, Replacement
from audit.interventions.costs import Cost, costs
from audit.interventions.judgement import Scale, decided, p_of
from audit.interventions.readings import Objective
from audit.interventions.trials import Tried
from audit.results import Confirmation
from tests.interventions.subjects import Additive, samples_of

RNG = np.random.default_rng(0)


def test_a_cost_surely_inside_the_margin_confirms() -> None:
    """The whole interval below the margin and p below 5%, both told with their numbers."""
    found = _decided(0.1 * RNG.normal(size=32))
    assert found.status == "confirmed"
    assert "inside the margin of 1.0000" in found.reason
    details = found.details
    assert details["high"] < details["margin"] == 1.0
    assert details["p_holm"] <= 0.05
    assert details["n"] == 32
    assert (details["measure"], details["unit"], details["replacement"]) == ("reading", "units", "mean")
    assert not details["matters"]


def test_a_gain_is_told_apart() -> None:
    """Better without: confirmed, and said to be more than harmless."""
    found = _decided(-2.0 + 0.1 * RNG.normal(size=32))
    assert found.status == "confirmed"
    assert found.details["gain"]
    assert "better without" in found.reason


def test_a_cost_surely_beyond_the_margin_matters() -> None:
    """It looked idle and is not."""
    found = _decided(3.0 + 0.1 * RNG.normal(size=32))
    assert found.status == "not_confirmed"
    assert found.details["matters"]
    assert "it matters" in found.reason


def test_a_mean_beyond_the_margin_is_not_confirmed_however_unsure() -> None:
    """More samples are not promised to help."""
    found = _decided(1.2 + 5.0 * _centred(32))
    assert found.status == "not_confirmed"
    assert not found.details["matters"]


def test_a_mean_below_the_margin_that_may_be_beyond_it_needs_more_samples() -> None:
    """And about how many is said."""
    found = _decided(0.5 + 2.0 * _centred(32))
    assert found.status == "needs_more_samples"
    assert "needs about" in found.reason
    more = int(found.reason.split("needs about ")[1].split()[0])
    assert 80 < more < 160


def test_fewer_than_16_documents_never_confirm() -> None:
    """Nothing is redundant by fifteen texts, not even what changes none of them."""
    found = _decided(np.zeros(15))
    assert found.status == "needs_more_samples"
    assert "needs about 1 more samples" in found.reason
    assert found.details["p_holm"] is None


def test_harm_on_one_probe_is_not_averaged_away() -> None:
    """Idle on prose and needed on code: the mean over both is inside the margin, the finding is not confirmed."""
    changes = np.concatenate([np.full(24, -0.1), np.full(8, 1.5)]) + 0.01 * RNG.normal(size=32)
    found = _decided(changes, probes=["prose"] * 24 + ["code"] * 8)
    assert found.status == "not_confirmed"
    assert "on 'code' alone +1." in found.reason
    assert set(found.details["by_probe"]) == {"prose", "code"}


def test_outputs_that_are_not_finite_any_more_matter_most() -> None:
    """A cut that breaks the model is no gain of minus infinity."""
    changes = np.zeros(32)
    changes[3] = np.inf
    found = _decided(changes)
    assert found.status == "not_confirmed"
    assert found.details["effect"] is None
    assert "not finite" in found.reason


def test_of_several_cuts_the_costliest_decides() -> None:
    """Attention is an MLP only if it survives all three replacements."""
    cheap, dear = 0.01 * RNG.normal(size=32), 3.0 + 0.01 * RNG.normal(size=32)
    found = _decided(cheap, dear, cheap)
    assert found.status == "not_confirmed"
    assert found.details["replacement"] == "zero"
    assert set(found.details["others"]) == {"mean", "uniform"}
    assert _decided(cheap, cheap, cheap).status == "confirmed"


def test_a_head_whose_silence_is_dear_holds_a_constant() -> None:
    """Redundant as a function of the text; its mean must stay."""
    cost = _costs(0.01 * RNG.normal(size=32), 3.0 + 0.01 * RNG.normal(size=32))
    (mean, first), (zero, second) = cost.items()
    found = decided({mean: first}, {zero: second}, 0.01, _scale())
    assert found.status == "confirmed"
    assert "holds a constant, which must be kept" in found.reason
    assert found.details["others"]["zero"]["effect"] == pytest.approx(3.0, abs=0.01)


def test_the_correction_can_take_a_confirmation_away() -> None:
    """The same numbers among many confirmations decide less."""
    (cost,) = _costs(0.1 * RNG.normal(size=32)).items()
    assert decided(dict([cost]), {}, 0.06, _scale()).status == "needs_more_samples"


def test_an_interval_that_leaves_the_margin_confirms_nothing() -> None:
    """A small p alone is not enough: what is shown must lie inside the margin, too."""
    ((cut, cost),) = _costs(0.1 * RNG.normal(size=32)).items()
    assert decided({cut: replace(cost, high=1.01)}, {}, 0.001, _scale()).status != "confirmed"


def test_p_of_several_cuts_is_the_largest() -> None:
    """All must be harmless: an intersection-union test."""
    assert p_of([Cost(effect=0.0, p=0.01), Cost(effect=0.0, p=0.2)]) == 0.2
    assert p_of([Cost(effect=0.0, p=0.01), Cost(effect=None)]) == 1.0
    assert p_of([Cost(effect=0.0, p=None)]) is None


def _centred(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = RNG.normal(size=count)
    return (values - values.mean()) / values.std(ddof=1)


def _costs(*changes: object, probes: list[str] | None = None) -> dict[Cut, Cost]:
    replacements: tuple[Replacement, ...] = ("mean", "zero", "uniform")
    samples = samples_of([5.0] * len(np.atleast_1d(changes[0])), probes=probes)  # type: ignore[call-overload]
    cuts: list[Cut] = [(Ablation(target="head", layer=1, heads=(2,), replacement=r),) for r in replacements]
    read = {cut: 5.0 + np.asarray(change) for cut, change in zip(cuts, changes, strict=False)}
    return costs(Tried(samples, read, {}, 1.0), _measure(), seed=0)


def _measure() -> Objective:
    return Additive(1.0)


def _scale() -> Scale:
    return Scale(objective=_measure(), level=5.0, margin=1.0, tests=1)


def _decided(*changes: object, probes: list[str] | None = None) -> Confirmation:
    found = _costs(*changes, probes=probes)
    return decided(found, {}, p_of(list(found.values())), _scale())
