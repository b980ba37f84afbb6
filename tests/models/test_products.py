"""W_Q and W_K, with the gain of the norm before them and the scale of the scores, give the scores themselves."""

import pytest
import torch
from torch import Tensor

from audit.models.products import products
from audit.models.weights import weight_observations
from tests.architectures import Task
from tests.models.watching import batch_of, frozen, watch


def rms(tokens: Tensor) -> Tensor:
    return tokens / tokens.square().mean(-1, keepdim=True).sqrt()


def centred(tokens: Tensor) -> Tensor:
    return rms(tokens - tokens.mean(-1, keepdim=True))


@pytest.mark.parametrize(
    ("model_type", "task", "norm"),
    [
        ("bert", "masked", lambda tokens: tokens),
        ("gpt2", "causal", centred),
        ("gpt_neox", "causal", centred),
        ("llama", "causal", rms),
        ("phi3", "causal", rms),
        ("t5", "seq2seq", rms),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_products_give_the_scores_of_a_token_with_itself(
    model_type: str, task: Task, norm: object
) -> None:
    """Rotations cancel there; gains are drawn at random, biases are zero."""
    model = frozen(model_type, task)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.data.uniform_(0.5, 2.0) if name.endswith("weight") else parameter.data.zero_()
        if "relative_attention_bias" in name:
            parameter.data.zero_()
    model.get_input_embeddings().weight.data *= 50.0  # next to which the epsilon of a norm is nothing
    ids = torch.randint(20, 120, (1, 11), generator=torch.Generator().manual_seed(3))
    layers, kept, _ = watch(model, batch_of(ids, torch.ones_like(ids).bool()))
    found = products(model, layers)

    for layer in (0, 1):
        query, key = found[layer]
        tokens = norm(kept.residual[layer].before[0].double())  # type: ignore[operator]
        times = query.shape[0] // key.shape[0]
        made, read = (
            torch.einsum("tw,hdw->htd", tokens, part) for part in (query, key.repeat_interleave(times, 0))
        )
        scores = kept.attention[layer].scores
        assert scores is not None
        torch.testing.assert_close(
            (made * read).sum(-1), scores[0].diagonal(dim1=1, dim2=2).double(), rtol=1e-3, atol=1e-5
        )
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_what_a_norm_adds_to_its_weight_counts() -> None:
    """Gemma multiplies with one plus its weight: the same gains under another name give the same product."""
    model = frozen("gemma2", "causal")
    layers, *_ = watch(model, batch_of(torch.arange(20, 31)[None], torch.ones(1, 11).bool()))
    before = products(model, layers)[0].key
    model.model.layers[0].input_layernorm.weight.data += 1.0

    torch.testing.assert_close(products(model, layers)[0].key, 2 * before, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("model_type", ["qwen3", "gemma3_text", "deepseek_v3"])
def test_normalised_or_stacked_queries_are_no_product(model_type: str) -> None:
    """QK-norm takes the scale of W_Q away, and low-rank queries are two matrices: nothing is claimed."""
    model = frozen(model_type, "causal")
    layers, *_ = watch(model, batch_of(torch.arange(20, 31)[None], torch.ones(1, 11).bool()))

    assert products(model, layers) == {}


def test_products_are_looked_for_only_where_asked() -> None:
    """They cost a pass on autograd's graph."""
    model = frozen("llama", "causal")
    layers, *_ = watch(model, batch_of(torch.arange(20, 31)[None], torch.ones(1, 11).bool()))
    for asked in (False, True):
        seen = list(weight_observations(model, layers, with_products=asked))
        assert [observation.query is not None for observation in seen] == [asked, asked]
