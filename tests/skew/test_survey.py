"""Demographic skew from a checkpoint on: what was planted is found, what is chance is not."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.definitions import PairProbe
from audit.models.coverage import observed, survey
from audit.models.loading import load_model
from audit.probes.demographics import axes
from audit.probes.framing import plain_frame
from audit.probes.sentences import crossings
from audit.progress import Silent
from audit.results import Plan
from audit.skew.survey import survey_skew

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


def plant(loaded, axis, strength):
    """Keys of the first group's terms are moved along the head's mean query; what is learnt is undone by the caller.

    The direction that tells the groups apart is that of the layer's input, so that the fault sits in W_K alone.
    """
    inputs, queries, kept = [], [], {}
    attention = loaded.model.encoder.layer[LAYER].attention.self
    width = attention.attention_head_size
    rows = slice(HEAD * width, (HEAD + 1) * width)
    hook = attention.register_forward_pre_hook(lambda _, args: kept.update(x=args[0]))
    cells = {(template, term) for template in range(0, 60, 10) for term in range(52)}
    tokenizer = loaded.tokenizer
    for crossing in crossings(
        axis, cells, tokenizer=tokenizer, frame=plain_frame(tokenizer), pad_id=0, special_ids=()
    ):
        with torch.no_grad():
            loaded.model(input_ids=crossing.batch.input_ids, attention_mask=crossing.batch.tokens.long())
        where = crossing.words == crossing.term[:, None]
        first = torch.tensor([term < len(axis.terms[0]) for term in crossing.terms])[:, None]
        inputs.append((kept["x"][where & first].mean(0), kept["x"][where & ~first].mean(0)))
        queries.append(attention.query(kept["x"])[..., rows][crossing.batch.tokens].mean(0))
    hook.remove()
    apart = torch.stack([one - two for one, two in inputs]).mean(0)
    query = torch.stack(queries).mean(0)
    moved = strength * width**0.5 * torch.outer(query / query.norm() ** 2, apart / apart.norm() ** 2)
    attention.key.weight[rows] += moved
    return partial(attention.key.weight[rows].sub_, moved)


def test_a_planted_skew_is_first_in_the_list(encoder):
    """Scores of one group's terms raised by so much in one head: that head, and who is looked at more."""
    (gender,) = named("gender")
    undo = plant(encoder[0], gender, 2.0)
    try:
        (axis,) = surveyed(encoder, gender).axes
    finally:
        undo()
    assert axis.verdict == "skew found"
    first = axis.heads[0]
    assert (first.layer, first.head) == (LAYER, HEAD)
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
