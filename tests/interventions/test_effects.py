"""Losses per sample are those of the model's own definition, on the tokens that count, whatever the batch."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from audit.interventions.effects import Loss, objective
from audit.interventions.readings import Array, Objective
from audit.observations import Batch
from tests.architectures import Task, tiny_model
from tests.interventions.subjects import loaded, opened, random_batches, samples_of, text, tiny


def test_next_token_loss_is_the_mean_over_all_but_the_first_token() -> None:
    """Each sample on its own, padding left out, equals the loss transformers computes for it."""
    subject = tiny("llama", "causal")
    found = _read(_objective(subject.model, "causal"), subject.model, subject.batch)
    for row, tokens in enumerate(subject.batch.tokens):
        ids = subject.batch.input_ids[row : row + 1, tokens]
        with torch.no_grad():
            expected = subject.model(input_ids=ids, labels=ids).loss
        assert found[row] == pytest.approx(float(expected), rel=1e-5)


def test_special_tokens_are_not_asked_for() -> None:
    """What the tokenizer added is read, never a target."""
    subject = tiny("llama", "causal")
    special = torch.zeros_like(subject.batch.tokens)
    special[:, [0, 5]] = True
    found = _read(_objective(subject.model, "causal"), subject.model, replace(subject.batch, special=special))
    with torch.no_grad():
        logits = subject.model(**subject.fed.inputs).logits[1, :-1]
    losses = cross_entropy(logits, subject.batch.input_ids[1, 1:], reduction="none")
    assert found[1] == pytest.approx(float(losses[torch.arange(12) != 4].mean()), rel=1e-5)


@pytest.mark.parametrize(("model_type", "task"), [("llama", "causal"), ("t5", "seq2seq")])
def test_the_side_of_the_padding_changes_no_loss(model_type: str, task: Task) -> None:
    """A batch padded on the left is the same texts."""
    subject = tiny(model_type, task)
    left = replace(
        subject.batch,
        **{name: getattr(subject.batch, name).clone() for name in ("input_ids", "tokens", "special")},
    )
    for tensor in (left.input_ids, left.tokens, left.special):
        tensor[0] = tensor[0].roll(3)
    measure = _objective(subject.model, task)
    assert np.allclose(
        _read(measure, subject.model, left), _read(measure, subject.model, subject.batch), atol=1e-6
    )


def test_teacher_forced_loss_is_that_of_writing_the_text_again() -> None:
    """An encoder-decoder reads the text and is asked for it, token by token."""
    subject = tiny("bart", "seq2seq")
    found = _read(_objective(subject.model, "seq2seq"), subject.model, subject.batch)
    ids = subject.batch.input_ids[1:]
    start = torch.full_like(ids[:, :1], subject.model.config.decoder_start_token_id)
    with torch.no_grad():
        logits = subject.model(input_ids=ids, decoder_input_ids=torch.cat([start, ids[:, :-1]], 1)).logits
    assert found[1] == pytest.approx(float(cross_entropy(logits[0], ids[0])), rel=1e-5)


def test_masks_are_seeded_by_sample_and_never_hide_special_tokens(bert_tiny: Path) -> None:
    """The same tokens of a text are hidden in every pass and every batch; 15% of them, and at least one."""
    model = opened(bert_tiny)
    batch = text(model, samples=4).batches[0]
    measure, again, other = (objective(model, seed=seed) for seed in (0, 0, 1))
    masks = [_hidden(each, batch, model.tokenizer.mask_token_id) for each in (measure, again, other)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert not bool((masks[0] & (batch.special | ~batch.tokens)).any())
    ordinary = (batch.tokens & ~batch.special).sum(1)
    assert masks[0].sum(1).tolist() == [round(0.15 * count) for count in ordinary.tolist()]
    alone = _hidden(measure, batch.only(2, batch.input_ids.shape[1]), model.tokenizer.mask_token_id)
    assert torch.equal(alone[0], masks[0][2])
    short = replace(batch, tokens=batch.tokens & (torch.arange(batch.tokens.shape[1]) < 3))
    assert _hidden(measure, short, model.tokenizer.mask_token_id).sum(1).tolist() == [1] * 4


def test_masked_loss_is_read_at_the_masks_only(bert_tiny: Path) -> None:
    """What is visible in the input costs nothing to repeat."""
    model = opened(bert_tiny)
    batch = text(model, samples=2).batches[0]
    measure = objective(model, seed=0)
    assert not isinstance(measure, str)
    fed = measure.ask(batch).fed
    hidden = fed.inputs["input_ids"] == model.tokenizer.mask_token_id
    with torch.no_grad():
        logits = model.model(**fed.inputs).logits
    expected = [
        float(cross_entropy(logits[row, hidden[row]], batch.input_ids[row, hidden[row]])) for row in (0, 1)
    ]
    assert _read(measure, model.model, batch).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_masked_model_without_a_mask_token_has_no_measure() -> None:
    """It is said, not made up."""
    found = objective(loaded(tiny_model("bert", "masked"), "masked"), seed=0)
    assert isinstance(found, str)
    assert "mask token" in found


def test_a_sample_without_a_token_that_counts_has_no_loss() -> None:
    """NaN for this sample alone; it is left out of the effect."""
    subject = tiny("llama", "causal")
    special = torch.zeros_like(subject.batch.tokens)
    special[0] = True
    measure = _objective(subject.model, "causal")
    found = _read(measure, subject.model, replace(subject.batch, special=special))
    assert math.isnan(found[0])
    assert math.isfinite(found[1])
    samples = samples_of(found.tolist())
    assert measure.changes(samples, found + 0.5).tolist() == pytest.approx([0.5])
    assert measure.level(samples) == found[1]


def test_a_loss_no_better_than_chance_allows_no_claim() -> None:
    """Whatever is taken out of a model that knows nothing costs nothing; a fault must not look like redundancy."""
    measure = Loss("next-token loss", lambda _: None, vocabulary=100)  # type: ignore[arg-type, return-value]
    chance = math.log(100)
    assert measure.unusable(samples_of([chance - 0.1, chance - 0.2])) is None
    reason = measure.unusable(samples_of([chance + 0.1, chance]))
    assert reason is not None
    assert reason.endswith("not better than chance (4.61)")
    nearly = measure.unusable(samples_of([chance - 0.04, chance - 0.06]))
    assert nearly is not None
    assert nearly.endswith("not better than chance (4.61) by 0.1")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_allows_no_claim(value: float) -> None:
    """One broken sample is enough: what is left would be a selection."""
    measure = Loss("next-token loss", lambda _: None, vocabulary=100)  # type: ignore[arg-type, return-value]
    clean = [1.0, math.inf] if value == math.inf else [math.nan, math.nan]
    reason = measure.unusable(samples_of(clean))
    assert reason is not None
    assert "not finite" in reason


def test_weights_that_are_not_numbers_make_an_infinite_loss() -> None:
    """NaN of the model is told apart from NaN for 'nothing to read'."""
    model = tiny_model("llama", "causal")
    with torch.no_grad():
        model.lm_head.weight[5] = math.nan
    batch = random_batches(model, samples=2, length=8).batches[0]
    assert np.isinf(_read(_objective(model, "causal"), model, batch)).all()


def test_the_margin_is_the_stricter_of_nats_and_share() -> None:
    """0.01 nats, and 0.5% where the loss is below 2."""
    measure = Loss("loss", lambda _: None, vocabulary=1000)  # type: ignore[arg-type, return-value]
    assert measure.margin(samples_of([4.0, 4.0])) == 0.01
    assert measure.margin(samples_of([1.0, 1.0])) == pytest.approx(0.005)


def test_windows_of_one_document_are_one_observation() -> None:
    """The change of a document is the mean over its windows."""
    measure = Loss("loss", lambda _: None, vocabulary=1000)  # type: ignore[arg-type, return-value]
    samples = samples_of([1.0, 1.0, 1.0])._replace(documents=("a", "a", "b"))
    assert measure.changes(samples, np.array([1.1, 1.3, 1.6])).tolist() == pytest.approx([0.2, 0.6])


def _objective(model: object, task: Task) -> Objective:
    found = objective(loaded(model, task), seed=0)
    assert not isinstance(found, str)
    return found


def _read(measure: Objective, model: object, batch: Batch) -> Array:
    question = measure.ask(batch)
    with torch.no_grad():
        return question.read(model(**question.fed.inputs))  # type: ignore[operator]


def _hidden(measure: Objective | str, batch: Batch, mask: int) -> torch.Tensor:
    assert not isinstance(measure, str)
    found: torch.Tensor = measure.ask(batch).fed.inputs["input_ids"] == mask
    return found
