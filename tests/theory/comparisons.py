"""Theory beside simulation: the cases, how each is put to both, and how far they may lie apart."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.gradients import query_gradient
from audit.theory.profile import profile
from audit.theory.propagation import paths, propagate
from audit.theory.rows import Overlapping, infinite_rows, rows_of
from audit.theory.states import dials, start
from tests.simulation import Stack, planted_gradient, query_gradients, similarities

SIMILARITY = 0.06  # largest error of a token similarity, with a skip, from d = T = 256
INDEPENDENT, CORRELATED, WARM = 0.15, 0.30, 2.0  # W_Q gradient: two errors up to beta = 1, a factor up to 3

# the gains of sd .02 at d = 768: BERT-base and GPT-2, whose residual projections are drawn with sd / sqrt(2L)
_BASE = Stack(value=0.307, output=0.307, mlp_in=0.307, mlp_out=1.23, similarity=1 / 3)
_LOUD = replace(_BASE, value=1.0, output=1.0, mlp_in=1.0, mlp_out=1.0, similarity=0.2, bias=0.01)
_PAPER = Stack(
    tokens=512,
    width=720,
    heads=1,
    depth=50,
    activation="relu",
    value=0.2,
    output=None,
    mlp_in=0.2,
    mlp_out=0.2,
    mlp_width=720,
    bias=4e-4,
    similarity=0.2,
)

Tables = dict[tuple[int, bool], Overlapping]


class Case(NamedTuple):
    """A stack with a name."""

    name: str
    stack: Stack


class Compared(NamedTuple):
    """Similarities of one case, [depth + 1]."""

    case: Case
    theory: np.ndarray
    infinite: np.ndarray
    simulated: np.ndarray
    error: np.ndarray  # standard error of the simulated mean

    @property
    def worst(self) -> float:
        return float(np.abs(self.theory - self.simulated).max())


class Ratio(NamedTuple):
    """A squared gradient: theory over simulated mean, and the relative standard error of the latter."""

    name: str
    beta: float
    alike: float
    theory: float
    simulated: float
    error: float

    @property
    def value(self) -> float:
        return self.theory / self.simulated

    @property
    def allowed(self) -> tuple[float, float]:
        if self.beta > 1:
            return 1 / WARM, WARM
        off = CORRELATED if self.alike else INDEPENDENT
        return 1 - off, 1 + off

    @property
    def held(self) -> bool:
        low, high = self.allowed
        return low <= self.value <= high


def bert(**changes: object) -> Stack:
    """Post-LN, bidirectional."""
    return replace(_BASE, **changes)  # type: ignore[arg-type]


def gpt2(**changes: object) -> Stack:
    """Pre-LN, causal, residual projections scaled by 1 / sqrt(2L)."""
    depth = int(changes.get("depth", _BASE.depth))  # type: ignore[call-overload]
    scaled = {"output": 0.307 / (2 * depth), "mlp_out": 1.23 / (2 * depth)}
    entering = {"placement": "pre", "causal": True, "similarity": 0.0, "energy": 8e-4}
    return replace(_BASE, **(entering | scaled | changes))  # type: ignore[arg-type]


def cases() -> tuple[Case, ...]:
    """Every stack whose similarity is compared."""
    warm = (0.12, 0.5, 1.0, 2.0, 3.0)
    shaped = [Case(f"BERT 12 beta {b:g}", bert(beta=b)) for b in warm]
    shaped += [Case(f"GPT-2 12 beta {b:g}", gpt2(beta=b)) for b in warm]
    deep = [
        Case(f"{n} 24 beta {b:g}", f(depth=24, beta=b))
        for n, f in (("BERT", bert), ("GPT-2", gpt2))
        for b in (0.12, 1.0)
    ]
    loud = [
        Case(f"loud {p}-LN 12 beta {b:g}", replace(_LOUD, placement=p, beta=b))
        for p in ("post", "pre")
        for b in (0.5, 2.0)
    ]
    llama = replace(
        _LOUD, placement="pre", causal=True, rms=True, gated=True, activation="silu", bias=0.0, similarity=0.0
    )
    others = [
        Case("Llama 12 beta 1", replace(llama, beta=1.0)),
        Case("parallel 12 beta 1", replace(llama, beta=1.0, parallel=True, gated=False)),
        Case("centred 12 beta 2", replace(_LOUD, beta=2.0, centred=True)),
        Case("BERT T 512 d 384 beta 1", bert(beta=1.0, tokens=512, width=384, heads=6, mlp_width=1536)),
    ]
    paper = [Case(f"paper 50 beta {b:g}", replace(_PAPER, beta=b)) for b in (0.5, 3.0)]
    return (*shaped, *deep, *loud, *others, *paper)


def quick_cases() -> tuple[Case, ...]:
    """A minute's worth of them."""
    short = {"depth": 6, "mlp_width": 512}
    found = [Case(f"BERT 6 beta {b:g}", bert(beta=b, **short)) for b in (0.12, 2.0)]
    found += [Case(f"GPT-2 6 beta {b:g}", gpt2(beta=b, **short)) for b in (0.12, 2.0)]
    return (*found, Case("loud 6 beta 1", replace(_LOUD, beta=1.0, depth=6, mlp_width=512)))


def architecture(stack: Stack) -> Architecture:
    """The stack in the words of the theory."""
    return Architecture(
        depth=stack.depth,
        width=stack.width,
        heads=stack.heads,
        head_dim=stack.width // stack.heads,
        tokens=stack.tokens,
        mlp_width=stack.mlp_width,
        placement=stack.placement,  # type: ignore[arg-type]
        norm_eps=stack.eps,
        activation=stack.activation,
        gated=stack.gated,
        causal=stack.causal,
        parallel=stack.parallel,
        centred=stack.centred,
        output_projection=stack.output is not None,
        skip_attention=stack.skip,
        skip_mlp=stack.skip,
    )


def initialisation(stack: Stack) -> Initialisation:
    """Its weights in the words of the theory."""
    spread = stack.beta * math.sqrt(math.log(stack.tokens))
    return Initialisation(
        sd_query=math.sqrt(spread / stack.width),
        sd_key=math.sqrt(spread / stack.width),
        sd_value=math.sqrt(stack.value / stack.width),
        sd_output=math.sqrt((stack.output or 0.0) / stack.width),
        sd_mlp_in=math.sqrt(stack.mlp_in / stack.width),
        sd_mlp_gate=math.sqrt(stack.mlp_in / stack.width),
        sd_mlp_out=math.sqrt(stack.mlp_out / stack.mlp_width),
        bias_variance=stack.bias,
        q0=stack.energy,
        p0=stack.similarity * stack.energy,
    )


def compare(case: Case, seeds: int, tables: Tables) -> Compared:
    """Theory and the mean of `seeds` simulations."""
    a, i = architecture(case.stack), initialisation(case.stack)
    runs = np.array([similarities(case.stack, seed) for seed in range(seeds)])
    return Compared(
        case,
        propagate(a, dials(a, i), start(i), table(a, tables)).similarity,
        propagate(a, dials(a, i), start(i), infinite_rows(a)).similarity,
        runs.mean(0),
        runs.std(0, ddof=1) / math.sqrt(seeds),
    )


def table(of: Architecture, tables: Tables) -> Overlapping:
    """The overlaps at that length and mask, made once."""
    key = (of.tokens, of.causal)
    if key not in tables:
        tables[key] = rows_of(of)
    return tables[key]


def planted(
    seeds: int, *, rhos: Iterable[float], likenesses: Iterable[float], betas: Iterable[float]
) -> list[Ratio]:
    """One attention layer under planted token gradients of known likeness."""
    grid = [(rho, alike, beta) for rho in rhos for alike in likenesses for beta in betas]
    return [_planted(seeds, *cell) for cell in grid]


def _planted(seeds: int, rho: float, alike: float, beta: float) -> Ratio:
    stack = Stack(beta=beta, similarity=rho, output=None)
    spread = beta * math.sqrt(math.log(stack.tokens))
    expected = query_gradient(
        q=1.0,
        p=rho,
        score_sd=spread * math.sqrt(1 - rho),
        tokens=stack.tokens,
        width=stack.width,
        key_gain=spread,
        value_gain=1.0,
        gradient_similarity=alike,
    )
    runs = np.array([planted_gradient(stack, alike, seed) for seed in range(seeds)])
    return _ratio(f"rho {rho:g}, c_g {alike:g}", beta, alike, expected.total, runs)


def stacked(name: str, stack: Stack, seeds: int, tables: Tables, *, pooled: bool) -> list[Ratio]:
    """The W_Q gradient of every block of a stack, from its configuration alone."""
    a = architecture(stack)
    layers = profile(paths(a, initialisation(stack), table(a, tables)))
    expected = (layers.pooled if pooled else layers.per_token).query
    seen = [query_gradients(stack, seed, pooled=pooled) for seed in range(seeds)]
    runs = np.array([[layer.squared for layer in run] for run in seen])
    return [
        _ratio(f"{name} block {number}", stack.beta, 1.0, value, runs[:, number - 1])
        for number, value in zip(layers.blocks, expected, strict=True)
    ]


def _ratio(name: str, beta: float, alike: float, expected: float, runs: np.ndarray) -> Ratio:
    mean = float(runs.mean())
    return Ratio(name, beta, alike, expected, mean, float(runs.std(ddof=1)) / mean / math.sqrt(len(runs)))
