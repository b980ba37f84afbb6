"""From per-sample values to measurements: rounding, clusters, raggedness, absence and the tidy table."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from audit import catalog
from audit.measure import Recorder, Table, summarised, weighed
from audit.observations import Batch, WeightObservation
from tests.metrics.synthetic import attention, random_attention
from tests.rules.cases import layers

METRICS = catalog.metrics()
ENTROPY, SIMILARITY = METRICS["attention_entropy"], METRICS["token_similarity"]


def summary(values, metric, *, documents=None, heads=(2,)):
    names = documents or [str(i) for i in range(len(values))]
    return summarised({metric.name: values}, [metric], layers(*heads), names, 0)[metric.name]


def test_values_are_means_over_documents_not_over_windows():
    """Three windows of one document weigh as much as one window of another."""
    values = np.array([[[0.0, 0.0]]] * 3 + [[[1.0, 1.0]]])
    found = summary(values, ENTROPY, documents=["a", "a", "a", "b"])
    assert found.value == [[0.5, 0.5]]
    assert found.n == 2


def test_too_few_documents_give_a_value_and_the_reason_for_no_interval():
    """No interval under sixteen, and it says so."""
    found = summary(np.zeros((8, 1, 2)), ENTROPY)
    assert found.low is None
    assert "8 documents are too few" in found.absent


def test_intervals_surround_the_value():
    """With enough documents there is an interval around the mean."""
    values = np.random.default_rng(0).uniform(0.2, 0.8, size=(32, 1, 2))
    found = summary(values, ENTROPY)
    assert np.all(np.array(found.low) < np.array(found.value))
    assert np.all(np.array(found.value) < np.array(found.high))
    assert found.absent is None


def test_layers_keep_their_own_number_of_heads():
    """Padding to the widest layer does not reach the audit."""
    values = np.full((16, 2, 3), np.nan)
    values[:, 0, :1], values[:, 1, :] = 0.25, 0.5
    found = summary(values, ENTROPY, heads=(1, 3))
    assert found.value == [[0.25], [0.5, 0.5, 0.5]]


def test_a_metric_defined_nowhere_is_absent_with_its_reason():
    """No sentinel number, no NaN."""
    found = summary(np.full((16, 1), np.nan), SIMILARITY)
    assert found.value is None
    assert found.absent == SIMILARITY.absent_when


def test_weights_are_measured_once_and_have_no_interval():
    """Each head's slice of W_O; an unread layer stays None."""
    metric = METRICS["output_weight_norm"]
    found = weighed([metric], layers(2, 2), [WeightObservation(1, torch.ones(2, 3, 4))])[metric.name]
    assert found.value == [[None, None], pytest.approx([12**0.5] * 2, rel=1e-5)]
    assert "nothing was sampled" in found.absent


def test_the_recorder_files_each_sample_in_its_row():
    """Batches may come in any order: the rows are the samples' own."""
    recorder = Recorder([ENTROPY, SIMILARITY], layers(2, 2), samples=4)
    empty = torch.zeros(2, 3)
    recorder.begin(Batch(empty.long(), empty.bool(), empty.bool(), (2, 3), ("c", "d")))
    assert recorder._rows == slice(2, 4)
    assert recorder.values["attention_entropy"].shape == (4, 2, 2)
    assert recorder.values["token_similarity"].shape == (4, 2)


def test_the_table_is_tidy_and_holds_every_defined_value(tmp_path):
    """(probe, sample, layer, head, metric, value), heads null for metrics of layers, NaN left out."""
    heads = np.arange(8.0).reshape(2, 2, 2)
    heads[0, 0, 0] = np.nan
    with Table(tmp_path / "m.parquet") as table:
        table.write("prose", {"attention_entropy": heads, "token_similarity": np.ones((2, 2))})
    frame = pd.read_parquet(tmp_path / "m.parquet")

    assert list(frame.columns) == ["probe", "sample", "layer", "head", "metric", "value"]
    assert len(frame) == 7 + 4
    row = frame[(frame["sample"] == 1) & (frame.layer == 0) & (frame["head"] == 1)]
    assert row.value.item() == 5.0
    assert frame[frame.metric == "token_similarity"]["head"].isna().all()


def test_spectra_are_taken_of_the_first_samples_only_whatever_the_batch():
    """Three of five, in batches of two and of five; every other metric has all."""
    metrics = [METRICS["sigma_1"], ENTROPY]
    found = []
    for size in (2, 5):
        recorder = Recorder(metrics, layers(4), samples=5, spectra=3)
        for start in range(0, 5, size):
            rows = range(start, min(5, start + size))
            empty = torch.zeros(len(rows), 3)
            names = tuple(map(str, rows))
            recorder.begin(Batch(empty.long(), empty.bool(), empty.bool(), tuple(rows), names))
            made = [random_attention(row) for row in rows]
            pattern = torch.cat([each.pattern[:1] for each in made])
            recorder.on_attention(attention(pattern))
        found.append(recorder.values)

    for values in found:
        assert np.isfinite(values["sigma_1"][:3]).all()
        assert np.isnan(values["sigma_1"][3:]).all()
        assert np.isfinite(values["attention_entropy"]).all()
    np.testing.assert_allclose(found[0]["sigma_1"], found[1]["sigma_1"], rtol=1e-6)


def test_a_rank_of_more_than_can_be_told_makes_the_mean_a_lower_bound():
    """Nine stands for all that is larger; without one of them the mean is what it is."""
    rank = METRICS["attention_rank"]
    assert summary(np.full((16, 1, 2), 8.0), rank).bound is None
    assert summary(np.array([[[8.0, 9.0]]] * 16), rank).bound == "at_least"


@pytest.mark.slow
def test_memory_does_not_grow_with_samples():
    """Ten times as many: only their numbers are held, and those of four heads are few."""
    steady = {
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }  # what is freed is given back
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-m", "tests.observing_memory", str(samples)],
                capture_output=True,
                check=True,
                env=os.environ | steady,
            ).stdout
        )
        for samples in (100, 1000)
    )
    assert many < 1.1 * few


def test_rows_taken_over_from_another_table_are_the_same_bytes(tmp_path):
    """More of them than a row group holds, of heads and of layers, and none at all."""
    rng = np.random.default_rng(0)
    values = {
        "of_heads": rng.normal(size=(1000, 5, 4)),
        "absent": np.full((1000, 5, 4), np.nan),
        "of_layers": rng.normal(size=(1000, 5)),
    }
    with Table(tmp_path / "whole") as whole:
        for probe in ("prose", "code"):
            whole.write(probe, values)
    with Table(tmp_path / "copied") as copied:
        for probe in ("prose", "code"):
            for metric in values:
                copied.copy(probe, metric, of=tmp_path / "whole")
    assert (tmp_path / "copied").read_bytes() == (tmp_path / "whole").read_bytes()
