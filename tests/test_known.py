"""An audit of more metrics measures those that no audit in the store has, and says what one made from scratch says."""

import csv
import dataclasses
import json
import shutil
from collections import Counter
from typing import NamedTuple

import msgspec
import pytest

from audit import Plan, audit_checkpoint, catalog, measuring, nulls, pieces, policy, protocol, store
from audit.checkpoint.opening import open_checkpoint
from audit.definitions import CorpusMetric
from audit.interventions import experiments
from audit.known import known
from audit.models.gradients import Backward
from audit.request import request
from audit.store import Fence
from tests.skew.test_own_pairs import rows_of

PLAN = Plan(
    depth="quick",
    samples=16,
    max_length=32,
    batch_size=4,
    threads=1,
    metrics=("key_gradient", "self_mass", "shuffled_divergence"),
)
BATCH, BATCHES = PLAN.batch_size, PLAN.samples // PLAN.batch_size


def of(*more, plan=PLAN):
    return dataclasses.replace(plan, metrics=(*plan.metrics, *more))


class Work(NamedTuple):
    """What was done: passes by kind, and which metrics were computed."""

    passes: Counter
    metrics: set


@pytest.fixture
def work(monkeypatch):
    done = Work(Counter(), set())

    def counted(kind, real):
        def call(*given, **named):
            done.passes[kind] += 1
            return real(*given, **named)

        return call

    def noted(metric):
        def call(*given):
            done.metrics.add(metric.name)
            return getattr(metric, way)(*given)

        way = "partial" if isinstance(metric, CorpusMetric) else "compute"
        return dataclasses.replace(metric, **{way: call})

    metrics = {name: noted(metric) for name, metric in catalog.metrics().items()}
    monkeypatch.setattr(catalog, "metrics", lambda: metrics)
    monkeypatch.setattr(pieces, "observe", counted("forward", pieces.observe))
    monkeypatch.setattr(protocol, "observe", counted("protocol", protocol.observe))
    monkeypatch.setattr(Backward, "observe", counted("backward", Backward.observe))
    return done


def contents(folder):
    audit = msgspec.json.decode((folder / "audit.json").read_bytes())
    return {**audit, "provenance": None}, (folder / "measurements.parquet").read_bytes()


def made(checkpoint, plan, folder, **options):
    audit = audit_checkpoint(checkpoint, plan, store=folder, pdf=False, **options)
    return contents(folder / audit.audit_id)


@pytest.fixture(scope="module")
def first(bert_tiny, tmp_path_factory):
    """A store with one audit."""
    folder = tmp_path_factory.mktemp("first")
    made(bert_tiny, PLAN, folder)
    return folder


@pytest.fixture
def filled(first, tmp_path):
    """A copy of it."""
    return shutil.copytree(first, tmp_path / "filled")


@pytest.mark.parametrize(
    ("metric", "passes"),
    [
        ("sink_mass", {"forward": BATCHES}),
        ("block_influence", {"forward": BATCHES}),
        ("twin_similarity", {"forward": BATCHES}),
        ("query_gradient", {"backward": 16}),
        ("output_weight_norm", {}),
        ("max_rank_100", {"protocol": 100 // BATCH}),
    ],
    ids=["of heads", "of layers", "of a corpus", "of gradients", "of weights", "published"],
)
def test_only_the_missing_metric_is_measured(bert_tiny, filled, tmp_path, work, metric, passes):
    """With the passes that it needs and no others; every byte but the provenance as from scratch."""
    found = made(bert_tiny, of(metric), filled)
    assert dict(work.passes) == passes
    assert work.metrics == {metric}
    assert found == made(bert_tiny, of(metric), tmp_path / "scratch")


def test_of_fewer_metrics_nothing_is_measured(bert_tiny, filled, tmp_path, work):
    """What was measured beside them is left out."""
    fewer = dataclasses.replace(PLAN, metrics=("self_mass",))
    found = made(bert_tiny, fewer, filled)
    assert work == (Counter(), set())
    assert found == made(bert_tiny, fewer, tmp_path / "scratch")


def test_what_several_audits_measured_is_put_together(bert_tiny, filled, tmp_path, work):
    """The second shares no metric with the first; the third is named in another order, and needs both."""
    made(bert_tiny, dataclasses.replace(PLAN, metrics=("sink_mass", "query_gradient")), filled)
    work.passes.clear()
    work.metrics.clear()
    together = dataclasses.replace(PLAN, metrics=("sink_mass", "self_mass", "query_gradient", "key_gradient"))
    found = made(bert_tiny, together, filled)
    assert work == (Counter(), set())
    assert found == made(bert_tiny, together, tmp_path / "scratch")


def test_force_measures_everything_anew(bert_tiny, filled, work):
    """Also what others have measured."""
    made(bert_tiny, of("sink_mass"), filled, force=True)
    assert work.metrics == {*PLAN.metrics, "sink_mass"}


def entries(checkpoint, plan, folder):
    asked = request(open_checkpoint(checkpoint), plan, policy.load(None), command="")
    return known(folder, asked).entries


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"probes": ("code",)},
        {"probes": ("prose",)},
        {"dtype": "bfloat16"},
        {"samples": 17},
        {"max_length": 31},
        {"spectra": 8},
        {"depth": "standard"},
        {"batch_size": 8},
        {"threads": 2},
    ],
    ids=str,
)
def test_of_another_plan_nothing_is_taken_over(bert_tiny, first, other):
    """Where one number could differ in its last bit, all are measured."""
    assert len(entries(bert_tiny, of("sink_mass"), first)) == 1
    assert entries(bert_tiny, dataclasses.replace(of("sink_mass"), **other), first) == ()


def test_of_another_checkpoint_nothing_is_taken_over(minilm, first):
    """Whatever else is the same."""
    assert entries(minilm, of("sink_mass"), first) == ()


def _spoil_table(folder):
    path = folder / "measurements.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _edit_audit(folder):
    path = folder / "audit.json"
    path.write_text(path.read_text("utf-8").replace('"value"', '"value" '), encoding="utf-8")


def _name_unknown_metric(folder):
    path = folder / "audit.json"
    audit = json.loads(path.read_text("utf-8"))
    audit["plan"]["metrics"] = ["gone"]
    path.write_text(json.dumps(audit, indent=2), encoding="utf-8")
    store.write_manifest(folder)


def _lose_batch_size(folder):
    path = folder / "audit.json"
    audit = json.loads(path.read_text("utf-8"))
    del audit["plan"]["batch_size"]
    path.write_text(json.dumps(audit, indent=2), encoding="utf-8")
    store.write_manifest(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        _spoil_table,
        _edit_audit,
        _name_unknown_metric,
        _lose_batch_size,
        lambda folder: (folder / "measurements.parquet").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
    ],
    ids=["table", "audit", "unknown metric", "no batch size", "lost table", "no manifest"],
)
def test_of_a_damaged_audit_nothing_is_taken_over(bert_tiny, filled, work, spoil):
    """Told by the digests of its manifest; the audit is made as if it were not there."""
    (folder,) = store.published(filled)
    spoil(folder)
    made(bert_tiny, of("sink_mass"), filled)
    assert work.metrics == {*PLAN.metrics, "sink_mass"}


def test_an_attempt_that_died_missing_other_metrics_is_no_help(bert_tiny, first, tmp_path, work, monkeypatch):
    """It went on from what the store held then; what it kept lacks metrics that the store has no more."""

    class Died(BaseException):
        pass

    def dies(*given, **named):
        if work.passes["forward"] == 2:
            raise Died
        return real(*given, **named)

    # Given an attempt that took most over from the store and died half-way
    real, folder = pieces.observe, shutil.copytree(first, tmp_path / "store")
    fence = Fence("job.1.", lambda _: True)
    monkeypatch.setattr(pieces, "observe", dies)
    with pytest.raises(Died):
        made(bert_tiny, of("sink_mass"), folder, fence=fence)
    assert len(store.partials(folder)) == 1
    monkeypatch.setattr(pieces, "observe", real)
    # When the audit that it rested on is gone
    shutil.rmtree(*store.published(folder))
    # Then the next one begins at the first batch
    found = made(bert_tiny, of("sink_mass"), folder, fence=fence)
    assert found == made(bert_tiny, of("sink_mass"), tmp_path / "scratch")


def test_what_depends_on_no_metric_is_taken_over_whole(bert_tiny, tmp_path, monkeypatch):
    """Groups of people, how far back is read, the re-initialised model, what leaving blocks out costs."""
    own = tmp_path / "own.csv"
    with own.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("group", "term", "template"), *rows_of(4)])
    plan = dataclasses.replace(PLAN, depth="full", probes=("prose", str(own)))
    plan = dataclasses.replace(plan, metrics=("attention_entropy", "block_influence", "sink_mass"))
    more = of("score_spread", plan=plan)  # by which other metrics get a null that they had not
    made(bert_tiny, plan, tmp_path / "filled")

    def refuses(*_, **__):
        pytest.fail("measured again")

    with monkeypatch.context() as patched:
        for place, name in [
            (measuring, "survey_skew"),
            (measuring, "reach"),
            (nulls.fresh, "reinitialised"),
            (experiments, "drop_curves"),
        ]:
            patched.setattr(place, name, refuses)
        found = made(bert_tiny, more, tmp_path / "filled")
    assert found == made(bert_tiny, more, tmp_path / "scratch")
    audit, _ = found
    assert {*audit["nulls"]["attention_entropy"]} == {"other_heads", "random_scores", "reinitialised"}
    assert audit["skew"]
    assert audit["drop_curves"]
    assert audit["reach"]


def test_curves_ordered_by_a_metric_that_was_missing_are_drawn_again(bert_tiny, tmp_path):
    """They begin with the parts that do least, which is known only now."""
    plan = dataclasses.replace(PLAN, depth="standard", probes=("prose",), metrics=("block_influence",))
    made(bert_tiny, plan, tmp_path / "filled")
    more = of("attention_influence", plan=plan)
    found, _ = made(bert_tiny, more, tmp_path / "filled")
    assert [bool(curve["steps"]) for curve in found["drop_curves"]] == [True, True]
    assert found == made(bert_tiny, more, tmp_path / "scratch")[0]
