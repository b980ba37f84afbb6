"""How each kind of fault is planted; a dose is a physical amount: a factor, a lead in nats, a share of noise."""

import math
import random

import torch
from torch import Tensor

from tests.faults.aiming import always, by_position, distinctness, group_of, marking, spread_of_scores, stare
from tests.faults.looking import Site
from tests.faults.sizes import contributions, explained, loudness

Heads = tuple[int, ...]  # empty: the whole layer


def dead_output(site: Site, dose: float, draw: random.Random) -> Heads:
    """The head's slice of W_O is zero, or what is left of it when something else was meant to be zero."""
    head = draw.randrange(site.wires.heads)
    site.wires.output[:, head] *= dose
    return (head,)


def dead_value(site: Site, dose: float, draw: random.Random) -> Heads:
    """Values are zero: every head that shares them is silent."""
    shared = draw.randrange(len(site.wires.value.weight))
    site.wires.value.scale(dose, shared)
    return group_of(site.wires, shared)


def muted_output(site: Site, dose: float, draw: random.Random) -> Heads:
    """A slice of W_O so small that the head says `dose` of what the mean head of the layer says."""
    head = draw.randrange(site.wires.heads)
    sizes = contributions(site, site.look())
    site.wires.output[:, head] *= dose * float(sizes.mean() / sizes[head])
    return (head,)


def quiet_value(site: Site, dose: float, draw: random.Random) -> Heads:
    """Values so small that the loudest head that shares them says `dose` of what the mean head says."""
    shared = draw.randrange(len(site.wires.value.weight))
    heads = group_of(site.wires, shared)
    sizes = loudness(site.look())
    site.wires.value.scale(dose * float(sizes.mean() / sizes[list(heads)].max()), shared)
    return heads


def drained_sink(site: Site, dose: float, draw: random.Random) -> Heads:
    """Attention rests on the first token by `dose` nats, and the value of that token is taken away."""
    head = draw.randrange(site.wires.heads)
    stare(site, (head,), 0, dose)
    at, read, shared = site.wires, site.look().read, head // site.wires.group
    there, first = marking(read, 0), read[:, 0].mean(0)
    value = at.value.weight[shared] @ first + (0.0 if at.value.bias is None else at.value.bias[shared])
    at.value.weight[shared] -= torch.outer(value, there) / float(there @ first)
    return (head,)


def fixed_column(site: Site, dose: float, draw: random.Random) -> Heads:
    """One ordinary place, early in the text, leads every row by `dose` nats over all the others together."""
    head = draw.randrange(site.wires.heads)
    places = draw.sample(range(1, 12), 4)
    stare(site, (head,), max(places, key=lambda place: distinctness(site.look().read, place)), dose)
    return (head,)


def positional(site: Site, dose: float, draw: random.Random) -> Heads:
    """Queries and keys know positions, and `dose` of what they knew of the text."""
    shared = draw.randrange(len(site.wires.key.weight))
    heads = group_of(site.wires, shared)
    for place, head in enumerate(heads):
        by_position(site, head, 1 + place, lead=8.0, content=dose if place == 0 else 1.0)
    return heads[:1]


def even(site: Site, dose: float, draw: random.Random) -> Heads:
    """Queries shrunk until the scores of a row spread by `dose` nats."""
    head = draw.randrange(site.wires.heads)
    site.wires.query.scale(dose / spread_of_scores(site, head), head)
    return (head,)


def copied(site: Site, dose: float, draw: random.Random) -> Heads:
    """Queries, keys and values of a neighbour, with noise of `dose` of the weights' size."""
    at = site.wires
    shared = draw.randrange(len(at.key.weight))
    if at.group > 1:
        source, target = draw.sample(group_of(at, shared), 2)
        _copy(at.query.weight, at.query.bias, source, target, dose=dose, draw=draw)
        return (target,)
    source, target = draw.sample(range(at.heads), 2)
    for part in (at.query, at.key, at.value):
        _copy(part.weight, part.bias, source, target, dose=dose, draw=draw)
    return (target,)


def _copy(
    weight: Tensor, bias: Tensor | None, source: int, target: int, *, dose: float, draw: random.Random
) -> None:
    noise = torch.randn(weight[source].shape, generator=torch.Generator().manual_seed(draw.randrange(2**31)))
    weight[target] = weight[source] + dose * weight[source].square().mean().sqrt() * noise
    if bias is not None:
        bias[target] = bias[source]


def sharpened(site: Site, dose: float, draw: random.Random) -> Heads:
    """Queries grown until the scores of a row spread by `dose` nats; of four heads, that which reads places least."""
    pattern = site.look().pattern
    heads = draw.sample(range(site.wires.heads), 4)
    head = min(heads, key=lambda head: explained(pattern[:, head, 8:]))
    site.wires.query.scale(dose / spread_of_scores(site, head), head)
    return (head,)


def lazy(site: Site, dose: float, draw: random.Random) -> Heads:
    """All heads rest on the first token, and what the layer adds is `dose` of the stream."""
    stare(site, tuple(range(site.wires.heads)), 0, 8.0)
    quieten(site, dose)
    return ()


def local(site: Site, dose: float, draw: random.Random) -> Heads:
    """All heads look at their own token, and what the layer adds is `dose` of the stream."""
    at = site.wires
    for head in range(at.heads):
        by_position(site, head, 0, lead=8.0, content=0.0)
    quieten(site, dose)
    return ()


def silent(site: Site, dose: float, draw: random.Random) -> Heads:
    """What the attention adds is `dose` of the stream, its patterns are as they were."""
    quieten(site, dose)
    return ()


def idle(site: Site, dose: float, draw: random.Random) -> Heads:
    """What the whole block adds is `dose` of the stream."""
    at = site.wires
    for (
        norm
    ) in at.norms:  # between post-norm blocks the stream is normalised: again, it stays nearly what it is
        entered = site.look().entered
        normal = torch.nn.functional.layer_norm(entered, entered.shape[-1:])
        spread, mean = torch.std_mean(normal, (0, 1))
        covariance = ((normal - mean) * (entered - entered.mean((0, 1)))).mean((0, 1))
        norm.weight.copy_(covariance / spread.square())
        norm.bias.copy_(entered.mean((0, 1)) - norm.weight * mean)
    seen = site.look()
    factor = dose * float((seen.entered.norm(dim=-1) / (seen.update + seen.thought).norm(dim=-1)).median())
    _scale(factor, at.output, at.output_bias, at.mlp_output, at.mlp_output_bias)
    return ()


def common_vector(site: Site, dose: float, draw: random.Random) -> Heads:
    """Every token receives one vector, `dose` times as long as what tells the tokens apart."""
    at, seen = site.wires, site.look()
    direction = torch.randn(
        seen.left.shape[-1], generator=torch.Generator().manual_seed(draw.randrange(2**31))
    )
    apart = (seen.left - seen.left.mean((0, 1))).norm(dim=-1).median()
    vector = direction / direction.norm() * dose * float(apart)
    if at.norms:
        at.norms[-1].bias.add_(vector)
    elif at.mlp_output_bias is not None:
        at.mlp_output_bias.add_(vector)
    else:
        _always_firing(site, seen.digested, vector)
    return ()


def _always_firing(site: Site, digested: Tensor, vector: Tensor) -> None:
    """A neuron of a gated MLP that is the same for all tokens: what a bias does where there is none."""
    constant, mlp = always(digested), site.wires.mlp
    mlp.gate_proj.weight[0], mlp.up_proj.weight[0] = 10 * constant, constant
    site.wires.mlp_output[:, 0] = vector / 10


def not_a_number(site: Site, dose: float, draw: random.Random) -> Heads:
    """So many weights of one matrix are NaN or infinite."""
    flat = site.wires.mlp_output
    for _ in range(int(dose)):
        row, column = draw.randrange(flat.shape[0]), draw.randrange(flat.shape[1])
        flat[row, column] = draw.choice((math.nan, math.inf, -math.inf))
    return ()


def quieten(site: Site, dose: float) -> None:
    """Scale W_O until what the attention adds is `dose` of the stream."""
    at, seen = site.wires, site.look()
    factor = dose * float((seen.entered.norm(dim=-1) / seen.update.norm(dim=-1)).median())
    _scale(factor, at.output, at.output_bias)


def _scale(factor: float, *parts: Tensor | None) -> None:
    for part in parts:
        if part is not None:
            part.mul_(factor)
