"""Which samples go backward, and what is said where none can."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit import catalog
from audit import plan as planning
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.gradients import DOCUMENTS, Gradients
from audit.measure import Recorder, summarised
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.observations import Batch
from audit.probes.sampling import Feed
from audit.results import Measurement, Plan

METRICS = tuple(catalog.metrics().values())
PLAN = Plan(depth="full", probes=("prose",), samples=3, max_length=32)


def recorded(folder: Path, metrics: Any = METRICS) -> tuple[Gradients, Recorder, Feed, list[int]]:
    loaded = load_model(open_checkpoint(folder))
    layers = survey(loaded.model)
    (fed,) = (cut(probe, loaded, PLAN) for probe in planning.probes(PLAN))
    gradients, recorder = Gradients(loaded, layers, metrics, PLAN), Recorder(metrics, layers, 3)
    samples = gradients.samples(fed)
    for sample in samples:
        gradients.record(sample, recorder)
    return gradients, recorder, fed, [len(sample.samples) for sample in samples]


def test_every_sample_has_a_pass_and_numbers_of_its_own(bert_tiny: Path) -> None:
    """[sample, layer] and [sample, layer, head], filled where a gradient can be."""
    gradients, recorder, _, steps = recorded(bert_tiny)

    assert (gradients.reason, steps) == (None, [1, 1, 1])
    assert recorder.values["query_gradient"].shape == (3, 2)
    assert np.isfinite(recorder.values["head_importance"]).all()
    assert len(np.unique(recorder.values["mlp_gradient"])) == 6
    assert np.isnan(recorder.values["attention_entropy"]).all()


def test_an_encoder_without_a_head_has_no_gradient_and_says_so(minilm: Path) -> None:
    """Not measurable, with the reason, and no pass is run for it."""
    gradients, recorder, fed, steps = recorded(minilm)
    found = summarised(
        recorder.values, METRICS, survey(load_model(open_checkpoint(minilm)).model), ["a"] * 3, 0
    )
    explained = gradients.explained(fed, found)

    assert (gradients.samples(fed), steps) == ((), [])
    assert explained["query_gradient"].value is None
    assert "without a loss there is no gradient" in (explained["query_gradient"].absent or "")
    assert (
        explained["attention_entropy"].absent
        == METRICS[[m.name for m in METRICS].index("attention_entropy")].absent_when
    )


def test_nothing_goes_backward_that_was_not_asked_for(bert_tiny: Path) -> None:
    """Without a metric of gradients the model is left in peace."""
    gradients, _, fed, steps = recorded(bert_tiny, [catalog.metrics()["attention_entropy"]])

    assert (gradients.samples(fed), steps) == ((), [])


def test_long_windows_do_not_go_backward(bert_tiny: Path) -> None:
    """A graph of thousands of tokens would need more memory than the audit was given, and it is said."""
    gradients, _, fed, _ = recorded(bert_tiny)
    gradients._longest = 31
    found = gradients.explained(fed, {"query_gradient": Measurement(value=None, absent="?")})

    assert gradients.samples(fed) == ()
    assert "at most 31 tokens" in (found["query_gradient"].absent or "")


@pytest.mark.parametrize("documents", [("a", "a", "b"), tuple(map(str, range(40)))], ids=["windows", "many"])
def test_the_first_window_of_each_of_the_first_documents_goes_backward(documents: tuple[str, ...]) -> None:
    """Windows of one document tell the same twice; sixteen documents make an interval."""
    from audit.gradients import _first_windows

    count = len(documents)
    tokens = torch.arange(7)[None] >= torch.arange(count)[:, None] % 4
    batch = Batch(tokens.long(), tokens, ~tokens, tuple(range(count)), documents)
    (fed,) = (type("Fed", (), {"batches": (batch,)})() for _ in range(1))
    found = list(_first_windows(fed))

    assert [s.documents[0] for s in found] == list(dict.fromkeys(documents))[:DOCUMENTS]
    assert all(bool(sample.tokens.all()) and sample.input_ids.shape[0] == 1 for sample in found)
