"""Parameters, arithmetic and cache of a part are those that follow from its shapes."""

import pytest

from audit.interventions.savings import weigh
from tests.architectures import Task
from tests.interventions.subjects import tiny


def test_a_block_takes_what_its_shapes_say() -> None:
    """A Llama block of width 64 with 4 heads, 2 of keys and values, and an MLP: counted by hand."""
    subject = tiny("llama", "causal")
    config = subject.model.config
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    kv, size, tokens = config.num_key_value_heads, config.head_dim, subject.batch.input_ids.shape[1]
    attention = width * size * (2 * heads + 2 * kv)
    found = weigh(
        subject.model, subject.batch, layers=subject.layers, route=subject.clean().route, kind="blocks"
    )
    for part in found.parts.values():
        assert part.parameters == attention + 3 * width * inner + 2 * width
        assert part.flops == 2 * (attention + 3 * width * inner) + 4 * tokens * heads * size
        assert part.cache_bytes == 2 * kv * size * 4
    assert found.whole.parameters == subject.model.num_parameters()
    assert found.whole.flops == sum(p.flops for p in found.parts.values()) + 2 * width * config.vocab_size
    assert found.whole.cache_bytes == sum(part.cache_bytes or 0 for part in found.parts.values())


@pytest.mark.parametrize(("model_type", "task"), [("bert", "masked"), ("llama", "causal"), ("t5", "seq2seq")])
def test_an_attention_takes_its_four_projections(model_type: str, task: Task) -> None:
    """Wherever the output projection stands; the MLP is no part of it."""
    subject = tiny(model_type, task)
    found = weigh(
        subject.model, subject.batch, layers=subject.layers, route=subject.clean().route, kind="attention"
    )
    blocks = weigh(
        subject.model, subject.batch, layers=subject.layers, route=subject.clean().route, kind="blocks"
    )
    assert set(found.parts) == {layer.index for layer in subject.layers}
    for layer in subject.layers:
        part, block = found.parts[layer.index], blocks.parts[layer.index]
        assert 0 < part.parameters < block.parameters
        assert 0 < part.flops < block.flops
    if model_type == "llama":
        attention = subject.model.model.layers[0].self_attn
        assert found.parts[0].parameters == sum(p.numel() for p in attention.parameters())


def test_a_model_that_keeps_no_cache_saves_none() -> None:
    """Absent, not zero; and in an encoder-decoder only the decoder's own attention keeps keys of what it writes."""
    bert = tiny("bert", "masked")
    found = weigh(bert.model, bert.batch, layers=bert.layers, route=bert.clean().route, kind="blocks")
    assert found.whole.cache_bytes is None
    assert {part.cache_bytes for part in found.parts.values()} == {None}
    t5 = tiny("t5", "seq2seq")
    parts = weigh(t5.model, t5.batch, layers=t5.layers, route=t5.clean().route, kind="attention").parts
    kept = {index for index, part in parts.items() if part.cache_bytes}
    assert kept == {layer.index for layer in t5.layers if layer.stack == "decoder" and layer.kind == "self"}
