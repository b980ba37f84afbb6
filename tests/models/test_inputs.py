"""Models are fed what they expect, whatever a batch looks like."""

import pytest
import torch
from transformers import PreTrainedModel, ViTConfig, ViTModel

from audit.errors import UnusableInput
from audit.models.inputs import configurations, model_inputs, ordinary_ids, padded_behind
from audit.observations import Batch
from tests.architectures import tiny_model
from tests.models.watching import batch_of

IDS = torch.tensor([[11, 12, 13, 0, 0], [0, 0, 21, 22, 23]])
TOKENS = torch.tensor([[True, True, True, False, False], [False, False, True, True, True]])


@pytest.fixture(scope="module")
def bart() -> PreTrainedModel:
    return tiny_model("bart", "seq2seq")


def test_padding_is_moved_behind_the_text() -> None:
    """Each row keeps its tokens and their order."""
    special = torch.tensor([[True, False, False, False, False], [False, False, True, False, True]])
    batch = Batch(IDS, TOKENS, special, samples=(4, 5), documents=("a", "b"))

    moved = padded_behind(batch)

    assert moved.input_ids.tolist() == [[11, 12, 13, 0, 0], [21, 22, 23, 0, 0]]
    assert moved.tokens.tolist() == [[True, True, True, False, False]] * 2
    assert moved.special.tolist() == [[True] + [False] * 4, [True, False, True, False, False]]
    assert (moved.samples, moved.documents) == ((4, 5), ("a", "b"))


def test_padding_has_the_id_that_the_model_knows() -> None:
    """RoBERTa counts positions from the ids that are not padding."""
    model = tiny_model("roberta", "masked")

    ids = model_inputs(model, batch_of(IDS, TOKENS)).inputs["input_ids"]

    pad = model.config.pad_token_id
    assert pad != 0
    assert ids.tolist() == [[11, 12, 13, pad, pad], [21, 22, 23, pad, pad]]


def test_a_decoder_is_forced_to_write_the_text(bart: PreTrainedModel) -> None:
    """Position i is fed token i - 1, and the first the id that starts a decoder; as many positions count."""
    fed = model_inputs(bart, batch_of(IDS, TOKENS))

    start = bart.config.decoder_start_token_id
    assert fed.inputs["decoder_input_ids"][:, :3].tolist() == [[start, 11, 12], [start, 21, 22]]
    assert torch.equal(fed.inputs["decoder_attention_mask"], fed.inputs["attention_mask"])
    assert fed.decoder.special[:, 0].all()
    assert not fed.encoder.special.any()


def test_a_decoder_alone_has_one_set_of_positions() -> None:
    """Without an encoder both stacks are the same."""
    fed = model_inputs(tiny_model("llama"), batch_of(IDS, TOKENS))

    assert fed.encoder is fed.decoder
    assert "decoder_input_ids" not in fed.inputs


def test_no_cache_is_kept_and_only_the_last_logits_are_computed_unless_asked() -> None:
    """Both grow with the text and nobody reads them."""
    model = tiny_model("llama")

    few = model_inputs(model, batch_of(IDS, TOKENS)).inputs
    every = model_inputs(model, batch_of(IDS, TOKENS), every_logit=True).inputs

    assert few["use_cache"] is False
    assert few["logits_to_keep"] == 1
    assert "logits_to_keep" not in every


def test_a_model_that_reads_no_tokens_is_refused() -> None:
    """The line names what it takes."""
    model = ViTModel(
        ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    )

    with pytest.raises(UnusableInput, match="ViTModel takes 'pixel_values', not token ids"):
        model_inputs(model, batch_of(IDS, TOKENS))


def test_ids_with_a_meaning_are_not_ordinary() -> None:
    """Padding, begin, end and the places of images stand in the configurations, also in nested ones."""
    model = tiny_model("gemma3", "causal")
    ids = set(ordinary_ids(model).tolist())
    taken = {
        value
        for config in configurations(model)
        for name, value in vars(config).items()
        if name.endswith(("token_id", "token_index")) and isinstance(value, int)
    }

    assert len(taken) > 3
    assert not ids & taken
    assert max(ids) < model.config.get_text_config().vocab_size
