"""How a head is made to look at a place: directions of the stream that tell positions, and what follows from them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tests.faults.looking import Site
from tests.faults.wiring import Wires

RIDGE = 1e-2  # of the mean variance
FAST = 0.25  # radians per token
TOLD_APART = 0.1  # of the distance between a mark and none
LEAST = 0.02  # share of tokens that may read otherwise


class Reading(NamedTuple):
    """A linear map of what a block reads: weight @ x + bias."""

    weight: Tensor  # [output, width]
    bias: Tensor  # [output]

    def of(self, read: Tensor) -> Tensor:
        """What it gives, [..., output]."""
        return read @ self.weight.T + self.bias


def reading(read: Tensor, wanted: Tensor, *, biased: bool = True) -> Reading:
    """The ridge regression that reads `wanted` [token, output] off `read` [text, token, width].

    Without a bias a direction that is the same for all tokens has to stand in for it.
    """
    rows = read.flatten(0, 1).double()
    aims = wanted.to(rows).expand(read.shape[0], -1, -1).flatten(0, 1)
    middle, mean = (rows.mean(0), aims.mean(0)) if biased else (rows.new_zeros(()), aims.new_zeros(()))
    rows, aims = rows - middle, aims - mean
    gram = rows.T @ rows / len(rows)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    weight = torch.linalg.solve(gram + ridge, rows.T @ aims / len(rows)).T
    bias = mean - weight @ middle if biased else torch.zeros(len(weight))
    return Reading(weight.float(), bias.float())


def always(read: Tensor) -> Tensor:
    """The direction in which every token reads 1, [width]."""
    return reading(read, torch.ones(read.shape[1], 1), biased=False).weight[0]


def marking(read: Tensor, place: int) -> Tensor:
    """The direction in which one place reads 1 and the others 0, nearly, [width]."""
    there = torch.zeros(read.shape[1], 1)
    there[place] = 1.0
    return reading(read, there, biased=False).weight[0]


def distinctness(read: Tensor, place: int) -> float:
    """How far nearly every reading of one place stands above nearly every reading of others."""
    given = read @ marking(read, place)
    others = given[:, torch.arange(read.shape[1]) != place]
    return float(given[:, place].quantile(LEAST) - others.flatten().quantile(1 - LEAST))


def stare(site: Site, heads: tuple[int, ...], place: int, lead: float) -> None:
    """Give heads constant queries and keys that mark one place.

    It scores `lead` nats above ln T over nearly every other token of nearly every text; where the stream does not tell
    them apart, nothing is changed.
    Heads that share the keys lose one coordinate, the one that a rotary embedding turns least.
    """
    at, read = site.wires, site.look().read
    tokens, row, mark = read.shape[1], site.wires.slowest, marking(read, place)
    gap = distinctness(read, place)
    if gap < TOLD_APART:
        return
    height = math.sqrt(at.query.weight.shape[1]) * (lead + math.log(tokens)) / gap
    for shared in {head // at.group for head in heads}:
        at.key.set_row(shared, row, mark)
        for head in range(shared * at.group, (shared + 1) * at.group):
            at.query.set_row(head, row, 0.0)
    for head in heads:
        at.query.weight[head] = 0.0
        if at.query.bias is not None:
            at.query.bias[head] = 0.0
            at.query.bias[head, row] = height
        else:
            at.query.weight[head, row] = height * always(read)


def by_position(site: Site, head: int, offset: int, *, lead: float, content: float) -> None:
    """Make one head look `offset` tokens back, `lead` nats above the next best place.

    `content` is the share of its former queries and keys that it keeps. With rotary embeddings constant queries and
    keys do it; elsewhere both are read from the positions in the stream.
    """
    at, read = site.wires, site.look().read
    dim = at.query.weight.shape[1]
    if at.query.bias is None:
        key, query, contrast = _turned(
            always(read), site.model.model.rotary_emb.inv_freq, offset, read.shape[1]
        )
    else:
        key, query, contrast = _told_apart(read, offset, dim)
    height = math.sqrt(math.sqrt(dim) * lead / max(contrast, 1e-3))
    for projection, which, aim in ((at.key, head // at.group, key), (at.query, head, query)):
        projection.weight[which] = content * projection.weight[which] + height * aim.weight
        if projection.bias is not None:
            projection.bias[which] = content * projection.bias[which] + height * aim.bias


class _Aim(NamedTuple):
    key: Reading
    query: Reading
    contrast: float  # of the product at the place over the next best


def _turned(constant: Tensor, speeds: Tensor, offset: int, tokens: int) -> _Aim:
    """Constant keys, and constant queries turned by the angles of `offset` tokens: their products peak there.

    What turns slowly tells no neighbours apart and would only amplify what is not constant: it is left at 0.
    """
    fast = (speeds > FAST).float()
    keys, queries = (
        torch.cat([fast * angle.cos(), fast * angle.sin()]) for angle in (0 * speeds, -offset * speeds)
    )
    speeds = speeds[speeds > FAST]
    key, query = (Reading(torch.outer(each, constant), 0 * each) for each in (keys, queries))
    distances = torch.arange(1, tokens)[:, None]
    return _Aim(key, query, float(len(speeds) - (distances * speeds).cos().sum(1).max()))


def _told_apart(read: Tensor, offset: int, dim: int) -> _Aim:
    """Keys that tell positions apart best (linear discriminants, in units of the noise), and queries that expect them.

    The ends of the text, which are special to encoders, are left out.
    """
    inner = read[:, 1:-1].double()
    means = inner.mean(0)
    noise = (inner - means).flatten(0, 1)
    within = noise.T @ noise / len(noise)
    within += RIDGE * within.diagonal().mean() * torch.eye(len(within))
    root = torch.linalg.cholesky(within)
    middle = means.mean(0)
    apart = torch.linalg.solve_triangular(root, (means - middle).T, upper=False).T
    directions = torch.linalg.svd(apart, full_matrices=False).Vh[:dim]
    weight = torch.linalg.solve_triangular(root.T, directions.T, upper=True).T
    codes = (means - middle) @ weight.T
    codes = torch.cat([codes[:1], codes, codes[-1:]])
    key = Reading(weight.float(), (-weight @ middle).float())
    query = reading(read, codes.roll(offset, 0))
    products = codes @ codes.T
    best = products.diagonal().clone()
    next_best = products.fill_diagonal_(-math.inf).amax(1)
    return _Aim(key, query, float((best - next_best)[2:-2].median()))


def spread_of_scores(site: Site, head: int) -> float:
    """Standard deviation of a head's scores within a row, in nats, from the logarithms of its pattern."""
    pattern = site.look().pattern[:, head].double()
    visible = pattern > 0
    logs = torch.where(visible, pattern, 1.0).log()
    count = visible.sum(-1).clamp_min(1)
    mean = torch.where(visible, logs, 0.0).sum(-1) / count
    squares = torch.where(visible, (logs - mean[..., None]).square(), 0.0).sum(-1) / count
    return float(squares[count > 8].mean().sqrt())


def group_of(at: Wires, shared: int) -> tuple[int, ...]:
    """The query heads of one key/value head."""
    return tuple(range(shared * at.group, (shared + 1) * at.group))
