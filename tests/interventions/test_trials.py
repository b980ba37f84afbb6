"""Cuts are tried at the cost that is counted, on every sample, and what cannot be tried is named."""

import numpy as np
import pytest

from audit.interventions.ablation import Ablation, Cut
from audit.interventions.effects import objective
from audit.interventions.readings import Objective
from audit.interventions.trials import Bench, tried, way_through
from tests.interventions.subjects import Subjects, loaded, random_batches, tiny

NOTHING: Cut = ()


def test_every_sample_is_read_unchanged_and_with_each_cut() -> None:
    """In the order of the texts, named by probe and document; the empty cut changes no reading."""
    subject = tiny("llama", "causal")
    texts = [
        random_batches(subject.model, samples=5, length=12, size=3, name=name) for name in ("prose", "code")
    ]
    cut: Cut = (Ablation(target="attention", layer=0, replacement="zero"),)
    bench = _bench(subject)
    found = tried(bench, way_through(bench, texts[0].batches[0]), texts, [NOTHING, cut])
    assert found.samples.documents == (*(f"prose/{i}" for i in range(5)), *(f"code/{i}" for i in range(5)))
    assert found.samples.probes == ("prose",) * 5 + ("code",) * 5
    assert np.array_equal(found.changed[NOTHING], found.samples.clean)
    assert (found.changed[cut] != found.samples.clean).all()


def test_batching_changes_no_reading() -> None:
    """A text is read alike whatever stands beside it."""
    subject = tiny("llama", "causal")
    cut: Cut = (Ablation(target="head", layer=1, heads=(1,), replacement="zero"),)
    bench = _bench(subject)
    whole = random_batches(subject.model, samples=4, length=12)
    rows = whole._replace(batches=tuple(whole.batches[0].only(row, 12) for row in range(4)))
    way = way_through(bench, whole.batches[0])
    together, alone = (tried(bench, way, [texts], [cut]).changed[cut] for texts in (whole, rows))
    assert np.allclose(together, alone, atol=1e-6)


def test_a_pass_costs_the_blocks_it_computes() -> None:
    """From its own block on, without those left out; the output layer always."""
    subject = tiny("llama", "causal")
    bench = _bench(subject)
    way = way_through(bench, subject.batch)
    head = [(Ablation(target="head", layer=layer, heads=(0,), replacement="zero"),) for layer in (0, 1)]
    block = (Ablation(target="block", layer=1, replacement="skip"),)
    both = (Ablation(target="block", layer=0, replacement="skip"), *block)
    share = way.shares[0]
    parameters = sum(p.numel() for p in subject.model.model.layers[0].parameters())
    head_size = subject.model.lm_head.weight.numel()
    assert share == pytest.approx(parameters / (2 * parameters + head_size))
    assert [way.cost(cut) for cut in (*head, block, both)] == pytest.approx(
        [1, 1 - share, 1 - 2 * share, 1 - 2 * share]
    )
    found = tried(bench, way, [random_batches(subject.model, samples=2, length=12)], [*head, block])
    assert found.passes == pytest.approx(1 + 1 + (1 - share) + (1 - 2 * share))


def test_an_architecture_that_carries_more_between_blocks_is_run_whole() -> None:
    """Gemma 3n hands keys from block to block beside the residual stream: that is noticed, and nothing is reused."""
    subject = tiny("gemma3n_text", "causal")
    bench = _bench(subject)
    way = way_through(bench, subject.batch)
    last = max(layer.index for layer in subject.layers)
    cut: Cut = (Ablation(target="head", layer=last, heads=(0,), replacement="zero"),)
    assert not way.exact
    assert way.start(cut) == 0
    assert way.cost(cut) == 1.0
    found = tried(bench, way, [random_batches(subject.model, samples=2, length=12)], [NOTHING, cut])
    assert np.array_equal(found.changed[NOTHING], found.samples.clean)
    assert not found.refused


def test_what_cannot_be_tried_is_named_and_the_rest_goes_on() -> None:
    """A mean that nobody measured, a stream that cannot be told apart, a block that is none."""
    subject = tiny("xlm", "causal")
    mean: Cut = (Ablation(target="head", layer=0, heads=(0,), replacement="mean"),)
    skip: Cut = (Ablation(target="attention", layer=1, replacement="skip"),)
    zero: Cut = (Ablation(target="attention", layer=1, replacement="zero"),)
    bench = _bench(subject)
    texts = [random_batches(subject.model, samples=4, length=12, size=2)]
    found = tried(bench, way_through(bench, subject.batch), texts, [mean, skip, zero])
    assert "mean head outputs of layer 0 are not known" in found.refused[mean]
    assert "was not seen" in found.refused[skip]
    assert list(found.changed) == [zero]
    assert len(found.changed[zero]) == 4


def _bench(subject: Subjects) -> Bench:
    measure = objective(loaded(subject.model, "causal"), seed=0)
    assert not isinstance(measure, str)
    checked: Objective = measure
    return Bench(subject.model, subject.layers, checked, {})
