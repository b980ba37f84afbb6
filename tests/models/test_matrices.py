"""The matrices of a layer are found by what depends on them, whatever they are called and joined with."""

import pytest

from audit.models.coverage import survey
from audit.models.matrices import matrices
from tests.architectures import Task
from tests.models.watching import frozen

PLAIN = {"query": 1, "key": 1, "value": 1, "output": 1, "mlp": 2}
GATED = PLAIN | {"mlp": 3}


@pytest.mark.parametrize(
    ("model_type", "task", "counts"),
    [
        ("bert", "masked", PLAIN),
        ("bart", "seq2seq", PLAIN),
        ("gptj", "causal", PLAIN),
        ("llama", "causal", GATED),
        ("gemma3_text", "causal", GATED),
        ("xlnet", "causal", PLAIN | {"query": 2}),
        ("t5", "seq2seq", PLAIN),
        ("albert", "masked", PLAIN),
        ("deepseek_v3", "causal", GATED | {"query": 2, "key": 2, "value": 2}),
    ],
)
def test_each_part_of_a_layer_has_its_matrices(model_type: str, task: Task, counts: dict[str, int]) -> None:
    """Queries, keys, values and W_O of the first layer, and the MLP of its block."""
    model = frozen(model_type, task)
    found = matrices(model, survey(model))

    assert {part: len(several) for part, several in found[0].items()} == counts
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("model_type", "places"),
    [
        ("gpt2", {"query": range(64), "key": range(64, 128), "value": range(128, 192)}),
        ("gpt_bigcode", {"query": range(64), "key": range(64, 80), "value": range(80, 96)}),
        (
            "bloom",  # each head's queries, keys and values side by side
            {
                p: [48 * h + 16 * i + d for h in range(4) for d in range(16)]
                for i, p in enumerate(("query", "key", "value"))
            },
        ),
    ],
)
def test_queries_keys_and_values_of_one_product_are_told_apart(
    model_type: str, places: dict[str, range | list[int]]
) -> None:
    """Each has its rows (columns) of the joint matrix, in the family's own order."""
    model = frozen(model_type, "causal")
    found = matrices(model, survey(model))[1]

    for part, expected in places.items():
        (matrix,) = found[part]  # type: ignore[index]
        assert matrix.places is not None
        assert matrix.places.tolist() == list(expected)


def test_cross_attention_has_matrices_of_its_own() -> None:
    """What the block's self-attention claims, the next does not; the MLP stands at the first."""
    model = frozen("bart", "seq2seq")
    layers = survey(model)
    found = matrices(model, layers)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    own, cross = (
        next(layer for layer in layers if layer.stack == "decoder" and layer.kind == kind)
        for kind in ("self", "cross")
    )

    assert {names[id(m.parameter)].split(".")[-2] for m in found[own.index]["mlp"]} == {"fc1", "fc2"}
    assert "mlp" not in found[cross.index]
    assert {part: names[id(several[0].parameter)].split(".")[-2:-1] for part, several in found[cross.index].items()} == {
        "query": ["q_proj"], "key": ["k_proj"], "value": ["v_proj"], "output": ["out_proj"],
    }  # fmt: skip
    assert "encoder_attn" in names[id(found[cross.index]["key"][0].parameter)]
