"""What heads have to do with the output: a patch, a remedy and what they leave, where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.models.attention import Edit
from audit.models.loading import load_model
from audit.probes.demographics import axes
from audit.probes.matching import match
from audit.results import Plan
from audit.results.demographics import SkewedHead
from audit.skew import carrying
from audit.skew.asking import Interview, askable, counterparts, pair_of, partners
from audit.skew.behaviour import understood
from audit.skew.carrying import consequences
from audit.skew.design import design
from audit.skew.shares import of_differences, of_effect
from tests.skew.planting import ground_of

(GENDER,) = (axis for axis in axes() if axis.name == "gender")


@pytest.fixture(scope="module")
def ground(bert_tiny):
    return replace(ground_of(load_model(open_checkpoint(bert_tiny))), plan=Plan(depth="full"))


@pytest.fixture(scope="module")
def made(ground):
    return design(GENDER, match(GENDER, ground.loaded.tokenizer), sentences=196, seed=0)


def nothing(_crossing):
    return lambda _seen: None


def head(layer, number, **changes):
    fields = {"quantity": "received", "level": 0.1, "difference": 0.1, "low": 0.0, "high": 0.2, "size": 1.0}
    return SkewedHead(
        **fields | {"p": 0.0, "q": 0.0, "reinitialised": None} | changes, layer=layer, head=number
    )


def test_what_was_kept_of_the_first_blocks_gives_the_same_answers(ground, made):
    """To the last bit, from the second block on and from the first."""
    interview = Interview(ground, made, edited=[0, 1], look=nothing)
    for layer in (0, 1):
        again = interview.changed(nothing, layer=layer)
        assert np.array_equal(again.attribute, interview.unchanged.attribute, equal_nan=True)
        assert np.array_equal(again.loss, interview.unchanged.loss, equal_nan=True)


def test_a_patch_of_the_second_block_does_not_run_the_first(ground, made):
    """What cannot change is not computed."""
    interview = Interview(ground, made, edited=[1], look=nothing)
    ran = []
    block = ground.loaded.model.bert.encoder.layer[0].attention.self.query
    with_hook = block.register_forward_hook(lambda *_: ran.append(1))
    interview.changed(nothing, layer=1)
    with_hook.remove()
    assert ran == []


def test_counterparts_are_each_other_and_line_up(ground, made):
    """Both ways, in the same template."""
    partner = partners(made)
    assert (partner[partner] == np.arange(len(partner))).all()
    assert len(set(pair_of(made))) == made.first.sum()
    for crossing in ground.sentences(made.axis, askable(ground.loaded, made)):
        order = counterparts(crossing, made)
        assert [order[other] for other in order] == list(range(len(order)))
        assert all(crossing.templates[a] == crossing.templates[b] for a, b in enumerate(order))


def test_what_heads_read_of_the_counterpart_carries_a_share_of_the_effect(ground, made):
    """All of the attention of both layers: more than nothing, and less than all, for the word itself stays."""
    interview = Interview(ground, made, edited=[0], look=nothing)

    def editing(crossing):
        order = counterparts(crossing, made)
        return lambda seen: Edit(head_output=seen.head_output[order])

    found = interview.changed(editing, layer=0)
    shift = found.attribute - interview.unchanged.attribute
    share = of_effect(shift, interview.effect, pair_of(made), seed=0)
    assert 0.05 < share.low <= share.value <= share.high < 1.0


def test_remedies_are_tried_on_the_heads_that_stand_out(ground, made):
    """All heads of the last layer: the skew in them is gone, the output keeps some, the loss is known with its interval."""
    heads = [head(1, 0), head(1, 1), head(0, 0, q=1.0)]
    found = consequences(ground, made, heads, {"received": np.array([2, 3]), "divergence": np.array([0])})
    assert [each.name for each in found.remedies] == ["equalised", "silenced"]
    for each in found.remedies:
        assert each.heads == 2
        assert each.skew == 0.0
        assert each.output_low <= each.output <= each.output_high
        assert each.loss_low <= each.loss <= each.loss_high
    assert found.heads[0].carries is not None
    assert found.heads[2].carries is None


def test_skew_that_a_remedy_does_not_reach_is_left(ground, made):
    """Heads before the first change stay as they were."""
    (equalised, _) = consequences(ground, made, [head(1, 0)], {"received": np.array([0, 1])}).remedies
    assert equalised.skew == pytest.approx(1.0)


def test_without_a_difference_in_output_nothing_is_patched(ground, made, monkeypatch):
    """At depth standard; full tries all the same."""
    monkeypatch.setattr(carrying, "behaviour", lambda *_: _Level())
    standard = replace(ground, plan=Plan(depth="standard"))
    found = consequences(standard, made, [head(1, 0)], {"received": np.array([2])})
    assert found.remedies == ()
    assert found.heads[0].carries is None
    assert consequences(ground, made, [head(1, 0)], {"received": np.array([2])}).remedies


class _Level:
    leans = False


def test_shares_against_arithmetic():
    """A shift of half the effect is half of it; differences of a fifth are a fifth."""
    effect = np.random.default_rng(0).normal(size=(5, 6))
    effect[0, 0] = np.nan
    pair = np.array([0, 1, 2, 0, 1, 2])
    assert of_effect(effect / 2, effect, pair, seed=0) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(of_effect(effect * 0, effect * 0, pair, seed=0)).all()
    first = np.arange(6) < 3
    old = np.random.default_rng(1).normal(size=(6, 4)) + first[:, None]
    assert of_differences(old / 5, old, first, seed=0) == pytest.approx((0.2, 0.2, 0.2))


def test_a_model_that_does_not_know_the_language_is_not_judged(ground, made):
    """No better than chance on the templates: said with both numbers."""
    assert understood(ground, made) is None

    def confused(_module, _words, output):
        output.logits = output.logits.roll(1000, -1)
        return output

    hook = ground.loaded.model.register_forward_hook(confused)
    why = understood(ground, made)
    hook.remove()
    assert "not better than chance (10.33) by 0.1: the model does not know their language" in why
    assert torch.is_grad_enabled()
