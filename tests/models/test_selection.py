"""The class to build follows the declared architecture first and the type second."""

import pytest
from transformers import (
    BartConfig,
    BertConfig,
    Emu3TextConfig,
    GPT2Config,
    LlamaConfig,
    T5Config,
    ViTConfig,
    WhisperConfig,
)

from audit.errors import RefusedCheckpoint
from audit.models.selection import choose


@pytest.mark.parametrize(
    ("config", "architecture", "expected", "task"),
    [
        (BertConfig, "BertForMaskedLM", "BertForMaskedLM", "masked"),
        (BertConfig, "BertLMHeadModel", "BertLMHeadModel", "causal"),
        (BertConfig, "BertModel", "BertModel", "encoder"),
        (BertConfig, "BertForPreTraining", "BertForMaskedLM", "masked"),
        (BertConfig, None, "BertForMaskedLM", "masked"),
        (GPT2Config, "GPT2LMHeadModel", "GPT2LMHeadModel", "causal"),
        (GPT2Config, "GPT2Model", "GPT2LMHeadModel", "causal"),  # tied: the embedding is the head
        (LlamaConfig, "LlamaModel", "LlamaModel", "encoder"),  # untied: there is no head
        (LlamaConfig, "BertModel", "LlamaForCausalLM", "causal"),  # declared for another type
        (T5Config, "T5ForConditionalGeneration", "T5ForConditionalGeneration", "seq2seq"),
        (T5Config, "T5EncoderModel", "T5EncoderModel", "encoder"),
        (T5Config, "T5Model", "T5ForConditionalGeneration", "seq2seq"),
        (BartConfig, None, "BartForConditionalGeneration", "seq2seq"),
        (Emu3TextConfig, "Emu3ForCausalLM", "Emu3ForCausalLM", "causal"),  # listed under no task
    ],
)
def test_the_class_and_the_task(config, architecture, expected, task):
    """As declared where transformers knows it as a language model or its base, else by type."""
    choice = choose(config(architectures=[architecture] if architecture else None))
    assert (choice.model_class.__name__, choice.task) == (expected, task)


def test_a_model_over_images_is_refused():
    """There is nothing to feed it."""
    with pytest.raises(RefusedCheckpoint, match="'vit' takes 'pixel_values', not token ids"):
        choose(ViTConfig())


def test_a_model_over_sound_is_refused():
    """Although its decoder makes text."""
    with pytest.raises(RefusedCheckpoint, match="'whisper' takes 'input_features'"):
        choose(WhisperConfig(architectures=["WhisperForConditionalGeneration"]))


@pytest.mark.parametrize("architecture", ["pipeline", "BertModel", "Emu3ForCausalLM_"])
def test_a_type_without_any_listed_model_is_refused(architecture):
    """Only a model class of this very configuration counts, not a function or another type's class."""
    with pytest.raises(RefusedCheckpoint, match="'emu3_text_model' has no model over text"):
        choose(Emu3TextConfig(architectures=[architecture]))
