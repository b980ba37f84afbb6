"""The drop curve measures what it says, in the order of the influence it is given."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit.interventions.ablation import Ablation
from audit.interventions.curve import Influence, drop_curves
from audit.interventions.effects import objective
from audit.interventions.experiments import influence
from audit.interventions.trials import Bench, tried, way_through
from audit.models.coverage import survey
from audit.results import Measurement
from audit.results.redundancy import DropCurve, Kind
from tests.architectures import tiny_model
from tests.interventions.subjects import (
    counting_model,
    counting_texts,
    loaded,
    opened,
    random_batches,
    text,
    tiny,
)


def drop_curve(model: Any, *, kind: Kind, influence: Influence, steps: int = 8, **given: Any) -> DropCurve:
    """The curve of one kind."""
    (found,) = drop_curves(model, influence={kind: influence}, steps=steps, **given)
    return found


def test_the_least_influential_go_first_and_stay_out(minilm: Path) -> None:
    """Each step leaves out one more than the last; its effect is that of all of them at once."""
    model = opened(minilm)
    layers, texts = survey(model.model), [text(model, samples=16, length=24)]
    values = [0.5, 0.1, 0.4, 0.3, 0.2, 0.6]
    found = drop_curve(model, layers=layers, kind="blocks", influence=values, texts=texts, steps=2, seed=0)
    assert [(step.dropped, step.layer, step.influence) for step in found.steps] == [(1, 1, 0.1), (2, 4, 0.2)]

    measure = objective(model, seed=0)
    assert not isinstance(measure, str)
    bench = Bench(model.model, layers, measure, {})
    both = tuple(Ablation(target="block", layer=layer, replacement="skip") for layer in (1, 4))
    read = tried(bench, way_through(bench, texts[0].batches[0]), texts, [both])
    effect = measure.as_effect(float(measure.changes(read.samples, read.changed[both]).mean()))
    assert found.steps[1].effect == pytest.approx(effect, rel=1e-5)
    assert found.steps[1].low is not None
    assert found.steps[1].high is not None
    assert found.steps[1].low < effect < found.steps[1].high
    assert not found.steps[0].harmless
    assert found.harmless == 0


def test_blocks_without_a_part_in_the_loss_are_harmless_to_leave_out() -> None:
    """The curve counts how many can go."""
    model = counting_model()
    found = drop_curve(
        loaded(model, "causal"),
        layers=survey(model),
        kind="attention",
        influence=[0.2, 0.1],
        texts=[counting_texts(samples=20)],
        seed=0,
    )
    assert found.harmless == len(found.steps) == 1
    assert found.metric == "attention_influence"
    assert found.unit == "nats per token"


def test_at_most_half_of_the_parts_are_left_out_and_a_block_once() -> None:
    """A decoder block has two attentions; either names it, and it goes once."""
    subject = tiny("bart", "seq2seq")
    values = [-float(layer.index) for layer in subject.layers]
    found = drop_curve(
        loaded(subject.model, "encoder"),
        layers=subject.layers,
        kind="blocks",
        influence=values,
        texts=[random_batches(subject.model, samples=16, length=9, size=16)],
        steps=99,
        seed=0,
    )
    assert found.of == len({(layer.stack, layer.block) for layer in subject.layers}) == 4
    first = [layer.index for layer in subject.layers if (layer.stack, layer.kind) == ("decoder", "self")]
    assert [step.layer for step in found.steps] == first[::-1]


def test_a_curve_is_plain_json() -> None:
    """It becomes an exhibit: every number is finite or null."""
    model = counting_model()
    texts = [counting_texts(samples=3)]
    found = drop_curve(
        loaded(model, "causal"),
        layers=survey(model),
        kind="blocks",
        influence=[0.1, 0.2],
        texts=texts,
        seed=0,
    )
    written = json.loads(msgspec.json.encode(found))
    assert written == json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))
    assert written["steps"][0]["low"] is None
    assert written["steps"][0]["harmless"] is None


@pytest.mark.parametrize(
    ("known", "words"),
    [([None, 0.1], "parts that could be left out: 1"), ([0.1, 0.2], "not better than chance")],
)
def test_what_cannot_be_measured_is_said(known: list[float | None], words: str) -> None:
    """One block, or a model that knows nothing: a reason instead of a curve."""
    model = tiny_model("llama", "causal")
    texts = [random_batches(model, samples=16, length=9, size=16)]
    found = drop_curve(
        loaded(model, "causal"), layers=survey(model), kind="blocks", influence=known, texts=texts, seed=0
    )
    assert found.absent is not None
    assert words in found.absent
    assert found.steps == ()


def test_both_kinds_share_the_clean_pass_and_one_may_be_missing() -> None:
    """What one kind lacks does not cost the other its curve."""
    model = counting_model()
    given = dict(layers=survey(model), texts=[counting_texts(samples=20)], steps=8, seed=0)
    both = drop_curves(
        loaded(model, "causal"), influence={"blocks": [0.1, 0.2], "attention": [0.2, 0.1]}, **given
    )
    assert [curve.kind for curve in both] == ["blocks", "attention"]
    assert all(curve.passes == both[0].passes < 3 for curve in both)  # one clean pass and two short ones
    one = drop_curves(loaded(model, "causal"), influence={"blocks": "why", "attention": [0.2, 0.1]}, **given)
    assert [curve.absent for curve in one] == ["why", None]
    assert one[1].steps == both[1].steps


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prose": [0.1, 0.5], "code": [0.3, None]}, [0.2, None]),
        ({"prose": [0.1, 0.5], "random": [9.0, 9.0]}, [0.1, 0.5]),
        ({"prose": None}, "block_influence, by which the order is chosen, was not measured"),
        ({}, "block_influence, by which the order is chosen, was not measured"),
    ],
)
def test_the_order_rests_on_all_text_probes(values: dict[str, Any], expected: Influence) -> None:
    """Their mean, where each has a value; random tokens do not count."""
    measured = {probe: Measurement(value=value) for probe, value in values.items()}
    assert influence("block_influence", ["prose", "code"], measured) == pytest.approx(expected)


def test_without_texts_there_is_no_curve() -> None:
    """A checkpoint fed with random tokens only has no text to lose anything on."""
    model = counting_model()
    found = drop_curve(
        loaded(model, "causal"), layers=survey(model), kind="blocks", influence=[0.1, 0.2], texts=[], seed=0
    )
    assert found.absent == "there is no text to measure it on"
