"""How a training went, from what it logged; and a whole audit of a checkpoint with its record."""

import json
import math
import random
import shutil
from dataclasses import replace

import jsonschema
import msgspec
import pytest

from audit import Plan, audit_checkpoint
from audit.checkpoint.training_record import read_training
from audit.history import trained
from audit.results.training import Logged, Training
from tests import training_records as made
from tests.test_schema import schema


def read(tmp_path, history, **changes):
    path = made.write(tmp_path, history, **changes)
    return trained(read_training({path.name: path}, [path.name], {}))


def of(losses):
    curve = tuple(Logged(step=step, loss=loss) for step, loss in enumerate(losses, 1))
    return trained(Training(files=("f",), curve=curve, lines=len(curve))).course


def test_a_healthy_record(tmp_path):
    """Levels by tenths, warm-up where the learning rate was highest, no excursion."""
    went = read(tmp_path, made.log()).course
    assert (went.losses, went.norms, went.not_finite, went.broken_since) == (120, 120, 0, None)
    assert went.first > went.last
    assert went.best <= went.last < 1.05 * went.best
    assert went.warmup == pytest.approx(0.1)
    assert went.peak_rate == pytest.approx(2e-4)
    assert (went.eval_best, went.eval_last) == (1.6, 1.6)
    assert went.excursions == ()


def test_oscillation_is_that_of_the_noise_whatever_the_trend():
    """A tenth of noise, on a level and on a loss that falls to a fifth."""
    generator = random.Random(1)
    noise = [1 + generator.gauss(0, 0.1) for _ in range(2000)]
    flat = of([2 * each for each in noise])
    falling = of([(0.5 + 2 * math.exp(-i / 500)) * each for i, each in enumerate(noise)])
    assert flat.oscillation == pytest.approx(0.1, rel=0.1)
    assert falling.oscillation == pytest.approx(0.1, rel=0.1)


def test_spikes_are_found_where_they_are(tmp_path):
    """Both series, furthest first."""
    found = read(tmp_path, made.log(**made.SPIKY)).course.excursions
    assert {(each.series, each.step) for each in found if each.deviations > 7} == {
        ("gradient norm", 600), ("gradient norm", 900), ("loss", 600), ("loss", 900),
    }  # fmt: skip
    assert [each.deviations for each in found] == sorted((each.deviations for each in found), reverse=True)


@pytest.mark.parametrize("series", ["loss", "grad_norm"])
def test_a_record_that_is_never_finite_again_says_since_when(tmp_path, series):
    """A trainer that replaces losses by their mean still logs the norm; one overflow in between is none."""
    record = read(tmp_path, made.log(**{series: {30: made.NAN} | made.DIVERGED["loss"]}))
    assert record.course.broken_since == 1010
    assert record.course.not_finite == 21
    once = read(tmp_path, made.log(**{series: {30: made.INF}})).course
    assert (once.broken_since, once.not_finite) == (None, 1)


@pytest.mark.parametrize(("losses", "words"), [([1.0] * 19, "19 finite"), ([0.1, -0.1] * 20, "not above 0")])
def test_levels_that_mean_nothing_are_absent_with_the_reason(losses, words):
    went = of(losses)
    assert words in went.absent
    assert (went.first, went.oscillation, went.excursions) == (None, None, ())


def test_an_audit_keeps_a_thinned_out_record_without_nan():
    """Evenly picked, the last line and every excursion among them."""
    lines = [Logged(step=step, loss=2.0 + step % 7 / 50, gradient_norm=1.0) for step in range(1, 20_001)]
    lines[12_344] = replace(lines[12_344], loss=9.0)
    lines[-1] = replace(lines[-1], loss=math.nan, eval_loss=math.inf)
    record = trained(Training(files=("f",), curve=tuple(lines), lines=len(lines)))
    assert len(record.curve) <= 502
    assert {12_345, 20_000} <= {line.step for line in record.curve}
    assert (record.curve[-1].loss, record.curve[-1].eval_loss) == (None, None)
    assert b"null" in msgspec.json.encode(record)


def test_an_audit_of_a_checkpoint_with_its_record(bert_tiny, tmp_path):
    """Found, judged and drawn; the same weights with a record that diverged are another audit, which fails."""
    plan = Plan(depth="quick", samples=4, max_length=32, confirm=False)
    folder = shutil.copytree(bert_tiny, tmp_path / "model")
    made.write(folder, made.log(**made.SPIKY))
    spiky = audit_checkpoint(folder, plan, store=tmp_path / "store", pdf=False)
    made.write(folder, made.log(**made.DIVERGED))
    diverged = audit_checkpoint(folder, plan, store=tmp_path / "store", pdf=False)

    severities = [
        {f.id: f.severity for f in audit.findings if f.rule == "training_instability"}
        for audit in (spiky, diverged)
    ]
    assert severities == [{"training_instability-spikes": "watch"}, {"training_instability-diverged": "fail"}]
    assert diverged.verdict == "fail"
    published = tmp_path / "store" / diverged.audit_id
    jsonschema.validate(json.loads((published / "audit.json").read_text("utf-8")), schema())
    assert "No finite loss or no finite gradient norm from step 1010 on." in (
        published / "report.html"
    ).read_text("utf-8")
