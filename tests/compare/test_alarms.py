"""What a series warns of: a planted collapse at its step and layer, and nothing that is steady, wide or merely high."""

import dataclasses

import numpy as np
import pytest

from audit.compare.losses import recorded_loss
from audit.compare.trend import trend
from audit.report import trend as reports
from audit.results.training import Logged, Training
from tests.compare.published import publish, samples
from tests.report.example import example_audit

LAYERS, HEADS, COUNT = 4, 2, 32
LEVELS = {
    "freezing": 0.6,
    "attention_entropy": 0.8,
    "token_similarity": 0.5,
    "token_similarity_without_sink": 0.5,
}


def record(losses):
    curve = tuple(Logged(step=10 * step, loss=loss) for step, loss in enumerate(losses, 1))
    return Training(files=("trainer_state.json",), curve=curve, lines=len(curve))


def published(tmp_path, steps, *, count=COUNT, without=(), losses=None):
    """A series whose layer 2 has these levels; each of `steps` maps a metric to its level, the rest is steady."""
    chance, folders = np.random.default_rng(1), []
    example = example_audit(layers=LAYERS, heads=HEADS)
    like = example.measurements["attention_entropy"]
    audit = dataclasses.replace(
        example, measurements=example.measurements | dict.fromkeys(LEVELS, like), findings=()
    )
    for number, step in enumerate(steps):
        values = samples(LAYERS, HEADS, count=count)
        for name in LEVELS.keys() - set(without):
            shape = (count, LAYERS) if "token" in name else (count, LAYERS, HEADS)
            values[name] = LEVELS[name] + 0.001 * chance.standard_normal(shape)
            values[name][:, 2] += step.get(name, LEVELS[name]) - LEVELS[name]
        training = record(losses[: 10 * (number + 1)]) if losses else None
        folders.append(publish(tmp_path / f"{number}", values, audit, training=training))
    return folders


FROZEN = {"freezing": 3.0, "attention_entropy": 0.2}
ALIKE = {"token_similarity": 0.999, "token_similarity_without_sink": 0.998}


def test_an_entropy_collapse_is_dated_and_placed(tmp_path):
    """With its numbers, and with how the loss stood then."""
    folders = published(tmp_path, [{}, {}, FROZEN, FROZEN], losses=[3 - step / 100 for step in range(40)])
    (alarm,) = trend(folders).warnings
    assert (alarm.kind, alarm.step, alarm.steps, alarm.layer) == ("entropy collapse", 2, (2, 3), 2)
    assert [sign.now.value for sign in alarm.signs] == pytest.approx([3.0, 0.2], abs=0.01)
    assert "The loss still looks fine: 2.73 at step 300" in alarm.statement


@pytest.mark.parametrize(
    "steps",
    [
        [{}, {}, {}],
        [FROZEN, FROZEN, FROZEN],
        [{}, {"freezing": 1.9, "attention_entropy": 0.2}],
        [{}, {"freezing": 3.0, "attention_entropy": 0.5}],
        [{"freezing": 2.1, "attention_entropy": 0.3}, {"freezing": 3.1, "attention_entropy": 0.2}],
        [{}, ALIKE, {}],
        [ALIKE, ALIKE, ALIKE],
    ],
    ids=[
        "steady",
        "always frozen",
        "not past",
        "a sink",
        "grown too little",
        "one checkpoint",
        "always alike",
    ],
)
def test_what_is_no_collapse_is_not_warned_of(tmp_path, steps):
    """Each condition is needed."""
    assert trend(published(tmp_path, steps)).warnings == ()


def test_a_rank_collapse_takes_two_checkpoints(tmp_path):
    """And is dated by the second."""
    (alarm,) = trend(published(tmp_path, [{}, ALIKE, ALIKE])).warnings
    assert (alarm.kind, alarm.step, alarm.layer) == ("rank collapse", 2, 2)
    assert "No record of the loss" in alarm.statement


def test_what_cannot_be_looked_for_is_said(tmp_path):
    """A metric that was not measured, and too few texts; neither is a clean bill."""
    few = trend(published(tmp_path / "few", [{}, FROZEN], count=8))
    assert few.warnings == ()
    assert any("8 texts are too few" in remark for remark in few.remarks)
    lacking = published(tmp_path / "lacking", [{}, FROZEN], without=("freezing",))
    assert any("freezing was not measured" in remark for remark in trend(lacking).remarks)


def test_the_loss_of_a_record_is_a_level():
    """One batch moves nothing; what is not finite is told; no record is none."""
    audit = example_audit()
    standing = recorded_loss(dataclasses.replace(audit, training=record([3, 2, 2, 9, 2, 2])))
    assert (standing.at, standing.last, standing.lowest) == (60, 2, 2)
    broken = recorded_loss(dataclasses.replace(audit, training=record([3, 2, 2, 2, 2, None])))
    assert (broken.last, broken.lowest) == (None, 2)
    assert recorded_loss(dataclasses.replace(audit, training=None)) is None


@pytest.mark.parametrize("medium", ["screen", "print"])
def test_page_and_command_show_it(tmp_path, attnaudit, medium):
    """Headline, warning, drift; exit code 1."""
    folders = published(tmp_path, [{}, FROZEN])
    page = reports.drawn(trend(folders, moved=[0.0, 0.25]), medium)
    assert "Warns of entropy collapse" in page
    assert "Weights moved" in page
    ran = attnaudit("trend", *folders)
    assert ran.code == 1
    assert "warning   At " in ran.out
    assert "drift " in ran.out
