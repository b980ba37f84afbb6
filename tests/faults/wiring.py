"""Where the weights of one block stand, for BERT, Llama and GPT-2 alike: views, so that writing to them plants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Projection(NamedTuple):
    """Queries, keys or values: the rows of each head, and their bias where there is one."""

    weight: Tensor  # [head, head_dim, width]
    bias: Tensor | None  # [head, head_dim]

    def scale(self, factor: float, head: int) -> None:
        """Multiply what a head projects."""
        self.weight[head] *= factor
        if self.bias is not None:
            self.bias[head] *= factor

    def set_row(self, head: int, row: int, direction: Tensor | float, bias: float = 0.0) -> None:
        """Make one coordinate of a head read `direction` of its input, plus a bias."""
        self.weight[head, row] = direction
        if self.bias is not None:
            self.bias[head, row] = bias


class Wires(NamedTuple):
    """One block."""

    block: nn.Module
    entrance: nn.Module  # its input is what queries, keys and values are projected from
    attending: nn.Module  # returns (outputs, pattern)
    projection: nn.Module  # W_O
    mlp: nn.Module
    mlp_projection: nn.Module  # its last matrix
    query: Projection
    key: Projection  # key/value heads
    value: Projection
    output: Tensor  # W_O by heads, [width, head, head_dim]
    output_bias: Tensor | None
    mlp_output: Tensor  # [width, inner]
    mlp_output_bias: Tensor | None
    norms: tuple[nn.LayerNorm, ...]  # those that stand on the stream itself (post-norm)

    @property
    def heads(self) -> int:
        """Query heads."""
        return len(self.query.weight)

    @property
    def group(self) -> int:
        """Query heads per key/value head."""
        return self.heads // len(self.key.weight)

    @property
    def slowest(self) -> int:
        """The coordinate of a head that a rotary embedding turns least."""
        return self.query.weight.shape[1] // 2 - 1


def blocks(model: Any) -> Any:
    """The model's blocks, in order."""
    kind = model.config.model_type
    if kind == "bert":
        return model.encoder.layer
    return model.model.layers if kind == "llama" else model.transformer.h


def wires(model: Any, layer: int) -> Wires:
    """The weights of one block."""
    block = blocks(model)[layer]
    return {"bert": _bert, "llama": _llama, "gpt2": _gpt2}[model.config.model_type](block, model.config)


@contextmanager
def restored(model: Any) -> Iterator[None]:
    """Weights may be changed within, and are as before afterwards."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with torch.no_grad():
            yield
    finally:
        model.load_state_dict(before)


def _bert(block: Any, config: Any) -> Wires:
    attention, heads = block.attention, config.num_attention_heads
    own = attention.self
    return Wires(
        block=block,
        entrance=own.query,
        attending=own,
        projection=attention.output.dense,
        mlp=block.intermediate,
        mlp_projection=block.output.dense,
        query=_projection(own.query.weight, own.query.bias, heads),
        key=_projection(own.key.weight, own.key.bias, heads),
        value=_projection(own.value.weight, own.value.bias, heads),
        output=attention.output.dense.weight.data.unflatten(1, (heads, -1)),
        output_bias=attention.output.dense.bias.data,
        mlp_output=block.output.dense.weight.data,
        mlp_output_bias=block.output.dense.bias.data,
        norms=(attention.output.LayerNorm, block.output.LayerNorm),
    )


def _llama(block: Any, config: Any) -> Wires:
    own, heads, shared = block.self_attn, config.num_attention_heads, config.num_key_value_heads
    return Wires(
        block=block,
        entrance=own.q_proj,
        attending=own,
        projection=own.o_proj,
        mlp=block.mlp,
        mlp_projection=block.mlp.down_proj,
        query=_projection(own.q_proj.weight, None, heads),
        key=_projection(own.k_proj.weight, None, shared),
        value=_projection(own.v_proj.weight, None, shared),
        output=own.o_proj.weight.data.unflatten(1, (heads, -1)),
        output_bias=None,
        mlp_output=block.mlp.down_proj.weight.data,
        mlp_output_bias=None,
        norms=(),
    )


def _gpt2(block: Any, config: Any) -> Wires:
    own, heads = block.attn, config.n_head
    weights = own.c_attn.weight.data.T.unflatten(0, (3, config.n_embd))
    biases = own.c_attn.bias.data.unflatten(0, (3, config.n_embd))
    query, key, value = (_projection(weights[part], biases[part], heads) for part in range(3))
    return Wires(
        block=block,
        entrance=own.c_attn,
        attending=own,
        projection=own.c_proj,
        mlp=block.mlp,
        mlp_projection=block.mlp.c_proj,
        query=query,
        key=key,
        value=value,
        output=own.c_proj.weight.data.T.unflatten(1, (heads, -1)),
        output_bias=own.c_proj.bias.data,
        mlp_output=block.mlp.c_proj.weight.data.T,
        mlp_output_bias=block.mlp.c_proj.bias.data,
        norms=(),
    )


def _projection(weight: Tensor, bias: Tensor | None, heads: int) -> Projection:
    return Projection(
        weight.data.unflatten(0, (heads, -1)),
        None if bias is None else bias.data.unflatten(0, (heads, -1)),
    )
