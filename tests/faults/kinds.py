"""The kinds of fault: how each is planted, in three doses, and how a plain pass shows that it is there.

A dose is a physical amount - a factor, a lead in nats, a share of noise. No threshold of the audit is known here. What
a kind must be called is said beforehand, with the reason in `why`.
"""

import math
import random
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tests.faults.aiming import always, by_position, distinctness, group_of, marking, spread_of_scores, stare
from tests.faults.looking import Glimpse, Site
from tests.faults.wiring import wires

Heads = tuple[int, ...]  # empty: the whole layer
SCATTER = 1e-5  # relative: what float32 rounding may move
COSTLESS = 0.002, 0.02  # nats per token; share of the spread of an encoder's outputs


class Kind(NamedTuple):
    """A mechanism."""

    name: str
    rule: str  # what it is to be called
    why: str
    dose: str  # what the doses measure
    doses: tuple[float, float, float]  # obvious, moderate, subtle
    plant: Callable[[Site, float, random.Random], Heads]
    true: Callable[[Site, Heads, float], bool]
    alone: bool = False  # it spoils every later layer
    costless: bool = False  # part of what it is: an audit that refutes this has not found it


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


def contributions(site: Site, seen: Glimpse) -> Tensor:
    """Mean norm of what each head adds to the stream, [head]."""
    return torch.einsum("bthd,whd->bthw", seen.heads, site.wires.output).norm(dim=-1).mean((0, 1))


def loudness(seen: Glimpse) -> Tensor:
    """Mean norm of the output of each head, [head]."""
    return seen.heads.norm(dim=-1).mean((0, 1))


def adds_nothing(site: Site, heads: Heads, dose: float) -> bool:
    """Each head's part is below rounding."""
    sizes = contributions(site, site.check())
    return bool((sizes[list(heads)] <= SCATTER * sizes.mean()).all())


def adds_little(site: Site, heads: Heads, dose: float) -> bool:
    """Each head adds at most a third of what the mean head adds, and no less than rounding."""
    sizes = contributions(site, site.check())
    mine = sizes[list(heads)] / sizes.mean()
    return bool((mine <= 1 / 3).all() and (mine > 10 * SCATTER).all())


def rests_and_adds_little(site: Site, heads: Heads, dose: float) -> bool:
    """Four fifths of the attention on the first token, and little comes of it."""
    first = site.check().pattern[:, list(heads), 8:, 0].mean()
    return bool(first >= 0.8) and adds_little(site, heads, dose)


def stares(site: Site, heads: Heads, dose: float) -> bool:
    """In every text four fifths of the attention lie on one and the same place, which is not the first."""
    pattern = site.check().pattern[:, heads[0]]
    columns = pattern[:, 16:].mean(1)
    place = int(columns.mean(0).argmax())
    return place > 0 and bool((columns[:, place] >= 0.8).all())


def same_everywhere(site: Site, heads: Heads, dose: float) -> bool:
    """The rows of two texts correlate by 0.85 beside the ends of the text, and are not even."""
    pattern = site.check().pattern[:, heads[0], 24:, 1:-1]
    away, count = pattern - pattern.mean(-1, keepdim=True), len(pattern)
    own = away.square().sum()
    alike = (away.sum(0).square().sum() - own) / (count - 1) / own
    uneven = own / pattern.square().sum()
    return bool(alike >= 0.85) and bool(uneven >= 0.2)


def is_even(site: Site, heads: Heads, dose: float) -> bool:
    """A tenth of the mass at most lies elsewhere than in even attention."""
    pattern = site.check().pattern[:, heads[0]]
    seen = (pattern > 0).double()
    off = (pattern - seen / seen.sum(-1, keepdim=True)).abs().sum(-1) / 2
    return bool(off.mean() <= 0.1)


def is_a_copy(site: Site, heads: Heads, dose: float) -> bool:
    """Outputs and patterns have a cosine of 0.95 with those of another head."""
    seen = site.check()
    outputs = seen.heads - seen.heads.mean((0, 1))
    cosines = []
    for other in set(range(site.wires.heads)) - set(heads):
        pair = [
            torch.nn.functional.cosine_similarity(part[0].flatten(), part[1].flatten(), dim=0)
            for part in (
                (outputs[:, :, heads[0]], outputs[:, :, other]),
                (seen.pattern[:, heads[0], 8:], seen.pattern[:, other, 8:]),
            )
        ]
        cosines.append(min(float(cosine) for cosine in pair))
    return max(cosines) >= 0.95


def is_collapsed(site: Site, heads: Heads, dose: float) -> bool:
    """Four rows in five give nine tenths to one key; no place, no distance and no end of the text explains it."""
    pattern = site.check().pattern[:, heads[0], 8:]
    sharp = (pattern.amax(-1) >= 0.9).float().mean()
    return bool(sharp >= 0.8) and explained(pattern) <= 0.3


def explained(pattern: Tensor) -> float:
    """The most that one place, one distance, or the two ends receive of rows 8 and on, [text, row, key]."""
    rows, keys = torch.arange(8, 8 + pattern.shape[1])[:, None], torch.arange(pattern.shape[2])
    mean = pattern.mean(0)
    distances = [mean[rows - keys == distance] for distance in range(-20, 21)]
    apart = max(float(found.mean()) for found in distances if len(found) >= 8)
    return max(apart, float(mean.mean(0).max()), float(mean[:, 0].mean() + mean[:, -1].mean()))


def costs_nothing(site: Site, *, block: bool) -> bool:
    """The outputs hardly know whether the part is there."""
    return site.cost_of(block=block) <= COSTLESS[site.model.config.model_type == "bert"]


def block_is_idle(site: Site, heads: Heads, dose: float) -> bool:
    """Skipping it costs nothing."""
    return costs_nothing(site, block=True)


def layer_is_lazy(site: Site, heads: Heads, dose: float) -> bool:
    """Every head rests on one token, and silencing the attention costs nothing."""
    return bool((site.check().pattern[:, :, 8:, 0].mean((0, 2)) >= 0.95).all()) and costs_nothing(
        site, block=False
    )


def attention_is_local(site: Site, heads: Heads, dose: float) -> bool:
    """Every head looks at the own token, and silencing the attention costs nothing."""
    own = site.check().pattern.diagonal(dim1=-2, dim2=-1)
    return bool((own.mean((0, 2)) >= 0.9).all()) and costs_nothing(site, block=False)


def attention_is_silent(site: Site, heads: Heads, dose: float) -> bool:
    """Silencing the attention costs nothing."""
    return costs_nothing(site, block=False)


def tokens_are_alike(site: Site, heads: Heads, dose: float) -> bool:
    """From here to the end all tokens but the first have a cosine of 0.95."""
    stream = site.walk.stream
    for layer in range(site.layer, site.model.config.num_hidden_layers):
        stream = site.walk.through(layer, stream)
        units = torch.nn.functional.normalize(stream[:, 1:], dim=-1)
        if float(units.mean(1).square().sum(-1).mean()) < 0.95:
            return False
    return True


def is_not_finite(site: Site, heads: Heads, dose: float) -> bool:
    """So many weights, or a few less where one was hit twice."""
    count = int((~torch.isfinite(wires(site.model, site.layer).mlp_output)).sum())
    return 0 < count <= dose


KINDS = (
    Kind("zeroed output", "dead_head", "nothing of it reaches the stream", "factor on W_O",
         (0.0, 1e-8, 1e-6), dead_output, adds_nothing),
    Kind("zeroed values", "dead_head", "nothing of them reaches the stream", "factor on W_V",
         (0.0, 1e-8, 1e-6), dead_value, adds_nothing),
    Kind("muted output", "dormant_head", "it adds little on every text", "of the mean head's part",
         (0.02, 0.1, 0.3), muted_output, adds_little),
    Kind("quiet values", "dormant_head", "it adds little on every text", "of the mean head's output",
         (0.02, 0.1, 0.3), quiet_value, adds_little),
    Kind("drained sink", "dormant_head", "it rests and adds little", "lead of the sink in nats",
         (12.0, 6.0, 3.0), drained_sink, rests_and_adds_little),
    Kind("fixed place", "collapsed_head", "one ordinary place holds it in every text", "lead in nats",
         (12.0, 6.0, 3.0), fixed_column, stares),
    Kind("position only", "static_head", "the pattern is the same for all texts", "content kept",
         (0.0, 0.05, 0.15), positional, same_everywhere),
    Kind("even attention", "uniform_head", "an average, whatever is asked", "spread of scores in nats",
         (0.0, 0.05, 0.2), even, is_even),
    Kind("copy of a head", "duplicate_head", "it does what another does", "noise on the copied weights",
         (0.0, 0.03, 0.1), copied, is_a_copy),
    Kind("grown scores", "entropy_collapse", "one key per row, and no sink", "spread of scores in nats",
         (80.0, 40.0, 20.0), sharpened, is_collapsed),
    Kind("lazy attention", "lazy_layer", "rank one and without effect", "update / stream",
         (0.001, 0.01, 0.03), lazy, layer_is_lazy, costless=True),
    Kind("idle block", "redundant_layer", "without effect", "update / stream",
         (0.001, 0.01, 0.05), idle, block_is_idle, costless=True),
    Kind("silent attention", "attention_as_mlp", "only the MLP is left", "update / stream",
         (0.0003, 0.001, 0.003), silent, attention_is_silent, costless=True),
    Kind("local attention", "attention_as_mlp", "own token only, without effect", "update / stream",
         (0.001, 0.01, 0.03), local, attention_is_local, costless=True),
    Kind("common vector", "rank_collapse_depth", "it drowns what tells tokens apart", "length / spread of the tokens",
         (100.0, 40.0, 15.0), common_vector, tokens_are_alike, alone=True),
    Kind("broken numbers", "nonfinite_weights", "NaN or infinite", "weights",
         (1000.0, 10.0, 1.0), not_a_number, is_not_finite, alone=True),
)  # fmt: skip
