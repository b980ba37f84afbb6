"""Demographic skew from a checkpoint on: what was planted is found, what is chance is not."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.definitions import PairProbe
from audit.models.coverage import observed, survey
from audit.models.loading import load_model
from audit.probes.demographics import axes
from audit.progress import Silent
from audit.results import Plan
from audit.skew.survey import survey_skew
from audit.skew.testing import LEVEL
from tests.skew.planting import Aim, ground_of, heads_of

LAYER, HEAD = 3, 5


def probe_of(*chosen):
    return PairProbe(name="some", title="", summary="", licence="", axes=partial(tuple, chosen))


def named(*names):
    return [axis for axis in axes() if axis.name in names]


@pytest.fixture(scope="module")
def encoder(minilm):
    loaded = load_model(open_checkpoint(minilm))
    layers = survey(loaded.model)
    return loaded, observed(layers, {layer.index for layer in layers})


def surveyed(encoder, *chosen, plan=None):
    loaded, layers = encoder
    return survey_skew(loaded, probe_of(*chosen), layers=layers, plan=plan or Plan(), progress=Silent())


@pytest.mark.parametrize("lead", [4.0, 2.0])
def test_a_planted_skew_is_first_in_the_list(encoder, lead):
    """Scores of one group's terms raised in one head: that head, and who is looked at more."""
    (gender,) = named("gender")
    ground = ground_of(encoder[0])
    with Aim.at(ground, gender, layer=LAYER, head=HEAD).planted(lead):
        first = heads_of(ground, gender)[0]
    assert (first.layer, first.head) == (LAYER, HEAD)
    assert first.q <= LEVEL
    assert first.quantity.startswith("received")
    assert first.difference > 0
    assert first.low > 0


def test_two_halves_of_one_list_of_names_do_not_differ(encoder):
    """The control: judged as an axis, nothing is found."""
    (control,) = named("control")
    (axis,) = surveyed(encoder, replace(control, control=False)).axes
    assert axis.verdict == "none found"
    assert axis.terms == 14
    assert axis.smallest is not None
    assert axis.smallest > 0


def test_an_encoder_has_no_output_to_lean(encoder):
    """Said, not passed over."""
    (orientation,) = named("sexual_orientation")
    (axis,) = surveyed(encoder, orientation, plan=Plan(depth="full")).axes
    assert axis.verdict == "descriptive"
    assert axis.output is None
    assert "does not predict words" in axis.output_absent


def test_an_unobserved_model_is_not_judged(encoder):
    """No layer, no claim."""
    loaded, layers = encoder
    blind = [replace(layer, observed=False) for layer in layers]
    found = survey_skew(loaded, probe_of(*named("gender")), layers=blind, plan=Plan(), progress=Silent())
    assert found.axes == ()
    assert "no self-attention layer" in found.absent


def test_a_model_is_left_as_it_was(encoder):
    """Same output before and after."""
    loaded, _ = encoder
    sentence = loaded.tokenizer("The widow was kind.", return_tensors="pt")
    before = loaded.model(**sentence).last_hidden_state.clone()
    surveyed(encoder, *named("sexual_orientation"))
    assert torch.equal(before, loaded.model(**sentence).last_hidden_state)


def test_memory_is_flat_in_the_number_of_sentences(bert_tiny):
    """Ten times the sentences: if their patterns were kept, fourteen times the memory."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.skew.memory", str(bert_tiny)],
        capture_output=True,
        text=True,
        check=True,
    )
    few, many = map(int, done.stdout.split())
    assert many < 2.5 * few
