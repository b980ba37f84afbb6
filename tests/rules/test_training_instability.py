"""`training_instability`: flags what the record shows, spares healthy records and says when there is none."""

import math
import random
from dataclasses import replace

import pytest

from audit import catalog, policy
from audit.checkpoint.training_record import read_training
from audit.definitions import NotApplicable, NotMeasured
from audit.history import trained
from audit.judge import judge as apply
from tests import training_records as made
from tests.rules.cases import case

RULE = catalog.rules()["training_instability"]


def record(tmp_path, history, **changes):
    path = made.write(tmp_path, history, **changes)
    return trained(read_training({path.name: path}, [path.name], {}))


def judged(training):
    return RULE.judge(replace(case("training_instability", {}), training=training))


def spread(noise):
    """Lines that swing between 1 and 1 + noise."""
    return [{"step": step, "loss": 1 + noise * (step % 2), "grad_norm": 1.0} for step in range(1, 121)]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({}, []),
        ({"loss": {60: 2.5}, "grad_norm": {60: 12.0}}, []),
        ({"grad_norm": {20: made.INF}}, []),
        (made.SPIKY, ["spikes"]),
        (made.DIVERGED, ["diverged"]),
        (made.RISING, ["diverged"]),
        ({"loss": dict.fromkeys(range(100, 121), 1.3)}, ["risen"]),
        ({"loss": dict.fromkeys(range(100, 121), 1.1)}, []),
        ({"grad_norm": {60: 5.0, 90: 5.0}}, []),
    ],
    ids=[
        "healthy",
        "one spike",
        "one overflow",
        "spiky",
        "NaN to the end",
        "back where it began",
        "risen",
        "a little",
        "low spikes",
    ],
)
def test_what_is_flagged(tmp_path, changes, about):
    assert [each.about for each in judged(record(tmp_path, made.log(**changes)))] == about


def test_a_loss_that_swings_is_a_remark(tmp_path):
    """Small batches do it too: the cause is not decidable."""
    (found,) = judged(record(tmp_path, spread(1.0)))
    assert (found.about, found.severity) == ("oscillation", "info")
    assert found.cause.startswith("not decidable")
    assert judged(record(tmp_path, spread(0.3))) == ()


@pytest.mark.parametrize(("loss", "norm"), [(0.03, 0.2), (0.1, 0.5)], ids=["large batches", "small batches"])
def test_steady_noise_is_not_flagged(tmp_path, loss, norm):
    """Falling losses and gradient norms with log-normal noise, 20 records of each kind: not one false alarm."""
    for seed in range(20):
        draw = random.Random(seed)
        lines = [
            {
                "step": step,
                "loss": (1.5 + math.exp(-step / 20)) * math.exp(draw.gauss(0, loss)),
                "grad_norm": math.exp(draw.gauss(0, norm)),
            }
            for step in range(1, 201)
        ]
        assert judged(record(tmp_path, lines)) == ()


@pytest.mark.parametrize(
    ("history", "absence"),
    [([], NotApplicable), (made.log()[:5], NotMeasured)],
    ids=["nothing logged", "five lines"],
)
def test_too_little_is_not_judged(tmp_path, history, absence):
    assert isinstance(judged(record(tmp_path, history)), absence)


def test_no_record_does_not_apply_and_a_broken_one_is_not_measured(tmp_path):
    assert isinstance(judged(None), NotApplicable)
    path = tmp_path / "trainer_state.json"
    path.write_text('{"log_history": [')
    broken = judged(trained(read_training({path.name: path}, [path.name], {})))
    assert isinstance(broken, NotMeasured)
    assert "is not JSON" in broken.reason


@pytest.mark.parametrize(("changes", "severity"), [(made.SPIKY, "watch"), (made.DIVERGED, "fail")])
def test_only_divergence_fails(tmp_path, changes, severity):
    """What is an event of the past is at most to be watched, whatever the policy says; and a policy may say less."""
    training = record(tmp_path, made.log(**changes))
    built = case("training_instability", {})
    ours = policy.load()

    def severities():
        found = apply(built.subject, built.coverage, {}, ours, reproduce="x", training=training).findings
        return [f.severity for f in found if f.rule == "training_instability"]

    assert severities() == [severity]
    ours.severity["training_instability"] = "info"
    assert severities() == ["info"]
