"""Random transformers in torch, written without the theory's modules, to hold the theory against."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

LATE = (
    64  # a causal stack is looked at over its last tokens, which see about as many keys as the theory assumes
)
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack of random blocks; the gains are fan-in-normalised variances n_in Var(W)."""

    tokens: int = 256
    width: int = 256
    heads: int = 4
    depth: int = 12
    placement: str = "post"
    activation: str = "gelu"
    gated: bool = False
    causal: bool = False
    centred: bool = False
    parallel: bool = False
    rms: bool = False
    beta: float = 0.5
    value: float = 1.0
    output: float | None = 1.0  # None = no output projection
    mlp_in: float = 1.0
    mlp_out: float = 1.0
    mlp_width: int = 1024
    bias: float = 0.0
    skip: float = 1.0
    similarity: float = 0.2
    energy: float = 1.0  # of the tokens that enter
    eps: float = 1e-5  # of the norms


class Weights(NamedTuple):
    """One block; each matrix is [in, out]."""

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor | None
    up: Tensor
    gate: Tensor | None
    down: Tensor
    biases: tuple[Tensor, ...]  # of value, output, up, down


class Layer(NamedTuple):
    """What a backward pass leaves in one block."""

    squared: float  # ||dL/dW_Q||_F^2
    token: float  # |g|^2, mean over tokens, of the gradient g at the output of the heads
    alike: float  # c_g, mean g_i.g_k over |g|^2


def similarity(x: Tensor, *, causal: bool = False) -> float:
    """Mean cosine of pairs of different tokens."""
    x = x[-LATE:] if causal else x
    units = x / x.norm(dim=1, keepdim=True)
    count = len(units)
    return float((units.sum(0).square().sum() - count) / (count * (count - 1)))


def anisotropy(x: Tensor) -> float:
    """How uneven the directions of the tokens about their mean are: d tr(S^2) / (tr S)^2, less what T tokens add."""
    about = x - x.mean(0)
    gram = about @ about.T
    tokens, width = x.shape
    return float(width * gram.square().sum() / gram.trace().square()) - width / tokens


def anisotropies(stack: Stack, seed: int) -> list[float]:
    """Anisotropy at the input and after every block."""
    rng = torch.Generator().manual_seed(seed)
    x = inputs(stack, rng)
    found = [anisotropy(x)]
    for _ in range(stack.depth):
        x, _ = block(stack, weights(stack, rng), x)
        found.append(anisotropy(x))
    return found


def similarities(stack: Stack, seed: int) -> list[float]:
    """Token similarity at the input and after every block."""
    rng = torch.Generator().manual_seed(seed)
    x = inputs(stack, rng)
    found = [similarity(x, causal=stack.causal)]
    for _ in range(stack.depth):
        x, _ = block(stack, weights(stack, rng), x)
        found.append(similarity(x, causal=stack.causal))
    return found


def query_gradients(stack: Stack, seed: int, *, pooled: bool) -> list[Layer]:
    """Gradients of a random read-out of the last block: of every token on its own, or of their mean."""
    rng = torch.Generator().manual_seed(seed)
    x = inputs(stack, rng)
    queries, mixed = [], []
    for _ in range(stack.depth):
        drawn = weights(stack, rng)
        drawn.query.requires_grad_()
        x, y = block(stack, drawn, x)
        queries.append(drawn.query)
        mixed.append(y)
    target = torch.randn((1 if pooled else stack.tokens, stack.width), generator=rng)
    found = torch.autograd.grad((x * target).sum(), [*queries, *mixed])
    return [_layer(q, y) for q, y in zip(found[: stack.depth], found[stack.depth :], strict=True)]


def planted_gradient(stack: Stack, alike: float, seed: int) -> float:
    """||dL/dW_Q||_F^2 of one attention layer under token gradients of unit norm and given likeness c_g."""
    rng = torch.Generator().manual_seed(seed)
    x = inputs(stack, rng)
    x = x / x.norm(dim=1, keepdim=True) * stack.width**0.5
    drawn = weights(stack, rng)
    drawn.query.requires_grad_()
    y = heads(stack, drawn, x)
    common, own = torch.randn((1, stack.width), generator=rng), torch.randn(y.shape, generator=rng)
    gradient = (alike**0.5 * common + (1 - alike) ** 0.5 * own) / stack.width**0.5
    (found,) = torch.autograd.grad((y * gradient).sum(), [drawn.query])
    return float(found.square().sum())


def inputs(stack: Stack, rng: torch.Generator) -> Tensor:
    """Tokens with a common part, [token, channel]."""
    common = torch.randn((1, stack.width), generator=rng)
    own = torch.randn((stack.tokens, stack.width), generator=rng)
    tokens = stack.similarity**0.5 * common + (1 - stack.similarity) ** 0.5 * own
    return stack.energy**0.5 * tokens


def weights(stack: Stack, rng: torch.Generator) -> Weights:
    """A freshly drawn block."""
    d, n = stack.width, stack.mlp_width
    spread = stack.beta * math.sqrt(math.log(stack.tokens))

    def drawn(rows: int, columns: int, gain: float) -> Tensor:
        return torch.randn((rows, columns), generator=rng) * math.sqrt(gain / rows)

    return Weights(
        query=drawn(d, d, spread),
        key=drawn(d, d, spread),
        value=drawn(d, d, stack.value),
        output=None if stack.output is None else drawn(d, d, stack.output),
        up=drawn(d, n, stack.mlp_in),
        gate=drawn(d, n, stack.mlp_in) if stack.gated else None,
        down=drawn(n, d, stack.mlp_out),
        biases=tuple(math.sqrt(stack.bias) * torch.randn(size, generator=rng) for size in (d, d, n, d)),
    )


def block(stack: Stack, drawn: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens after a block, and the output of its heads (before the output projection)."""
    before = stack.placement == "pre"
    y = heads(stack, drawn, _norm(stack, x) if before else x)
    attended = y if drawn.output is None else y @ drawn.output + drawn.biases[1]
    if stack.parallel:
        return attended + mlp(stack, drawn, _norm(stack, x)) + stack.skip * x, y
    x = attended + stack.skip * x
    x = x if before else _norm(stack, x)
    x = mlp(stack, drawn, _norm(stack, x) if before else x) + stack.skip * x
    return (x if before else _norm(stack, x)), y


def heads(stack: Stack, drawn: Weights, x: Tensor) -> Tensor:
    """Attention-weighted values of all heads, [token, channel]."""
    split = (stack.tokens, stack.heads, stack.width // stack.heads)
    query, key = (x @ drawn.query).view(split), (x @ drawn.key).view(split)
    value = (x @ drawn.value + drawn.biases[0]).view(split)
    scores = torch.einsum("ihc,jhc->hij", query, key) / math.sqrt(split[2])
    if stack.causal:
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -math.inf)
    pattern = scores.softmax(-1)
    if stack.centred:
        pattern = pattern - 1.0 / stack.tokens
    return torch.einsum("hij,jhc->ihc", pattern, value).reshape(stack.tokens, stack.width)


def mlp(stack: Stack, drawn: Weights, x: Tensor) -> Tensor:
    """The MLP branch."""
    act, up = _ACTIVATIONS[stack.activation], x @ drawn.up + drawn.biases[2]
    hidden = act(up) if drawn.gate is None else act(x @ drawn.gate) * up
    return hidden @ drawn.down + drawn.biases[3]


def _norm(stack: Stack, x: Tensor) -> Tensor:
    norm = functional.rms_norm if stack.rms else functional.layer_norm
    return norm(x, x.shape[-1:], eps=stack.eps)


def _layer(query: Tensor, mixed: Tensor) -> Layer:
    energies = mixed.square().sum(1)
    count, total = len(mixed), energies.sum()
    pairs = mixed.sum(0).square().sum() - total
    return Layer(
        float(query.square().sum()),
        float(total / count),
        float(pairs / (count * (count - 1)) / (total / count)),
    )
