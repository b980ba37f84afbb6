"""What the theory needs to know of a transformer: its shape, and the spread of its weights before training."""

import math
from dataclasses import dataclass
from typing import Literal

from audit.errors import UnusableInput
from audit.theory.activations import check_activation

# x + f(N x); N(x + f(x)); x + N(f(N x)); x + N(f(x)); x + f(x)
Placement = Literal["pre", "post", "sandwich", "branch", "none"]
OutputScaling = Literal["none", "attention", "both"]
PLACEMENTS: tuple[Placement, ...] = ("pre", "post", "sandwich", "branch", "none")

LARGEST = 10**6  # channels or tokens: more is a typing error, not a model
DEEPEST = 10**4
WIDEST_SD = 10.0  # a weight spread beyond this is a typing error
_SHAPE = {
    "depth": (1, DEEPEST),
    "width": (2, LARGEST),
    "heads": (1, LARGEST),
    "head_dim": (1, LARGEST),
    "tokens": (2, LARGEST),
    "mlp_width": (0, LARGEST),
}
_SPREADS = (
    "sd_query",
    "sd_key",
    "sd_value",
    "sd_output",
    "sd_mlp_in",
    "sd_mlp_gate",
    "sd_mlp_out",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Shape of a transformer stack. LayerNorm and RMSNorm act alike on energy and similarity (up to 1/width).

    Raises UnusableInput for values no model can have.
    """

    depth: int  # blocks
    width: int  # d
    heads: int
    head_dim: int  # d_h
    tokens: int  # T, keys that a row sees (a late row, where attention is causal); at least 2
    mlp_width: int  # 0 = attention only
    placement: Placement
    activation: str
    norm: Literal["layer", "rms"] = "layer"
    norm_eps: float = 0.0
    gated: bool = False  # phi(W_g x) * (W_1 x) instead of phi(W_1 x)
    causal: bool = False
    parallel: bool = False  # x + f(N x) + g(N x) instead of one after the other
    centred: bool = False  # attention less its mean, A - 11^T/T
    qk_norm: bool = False
    output_projection: bool = True  # W_O after the heads
    score_scale: float | None = None  # of q.k; None = 1/sqrt(head_dim)
    skip_attention: float = 1.0  # alpha_SA: x <- f(x) + alpha x
    skip_mlp: float = 1.0  # alpha_MLP

    def __post_init__(self) -> None:
        for name, (least, most) in _SHAPE.items():
            _check_count(name, getattr(self, name), least, most)
        for name in ("norm_eps", "skip_attention", "skip_mlp"):
            _check_number(name, getattr(self, name), 0.0, 1e6)
        if self.score_scale is not None:
            _check_number("score_scale", self.score_scale, 0.0, 1e6)
        if self.placement not in PLACEMENTS:
            raise UnusableInput(f"norm placement {self.placement!r}: known are {', '.join(PLACEMENTS)}")
        check_activation(self.activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialisation:
    """Standard deviations of independent Gaussian weights, and the tokens that enter the first block.

    Raises UnusableInput for values no initialisation can have.
    """

    sd_query: float
    sd_key: float
    sd_value: float
    sd_output: float
    sd_mlp_in: float
    sd_mlp_out: float
    sd_mlp_gate: float = 0.0
    bias_variance: float = 0.0  # of every linear layer
    output_by_depth: OutputScaling = "none"  # W_O (and W_2) were drawn with sd / sqrt(2L)
    q0: float = 1.0  # E|x|^2/d of the tokens entering the first block
    p0: float = 0.0  # E x.x'/d of two different ones
    embedding_norm: bool = (
        False  # a norm stands before the first block: q0 does not follow the spread of the weights
    )

    def __post_init__(self) -> None:
        for name in _SPREADS:
            _check_number(name, getattr(self, name), 0.0, WIDEST_SD)
        _check_number("bias_variance", self.bias_variance, 0.0, WIDEST_SD**2)
        _check_number("q0", self.q0, 1e-60, 1e12)
        _check_number("p0", self.p0, 0.0, self.q0)

    @property
    def similarity(self) -> float:
        """Token cosine rho_0 = p0/q0 at the first block."""
        return self.p0 / self.q0


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UnusableInput(f"{name} is {value!r}: a whole number from {least} to {most} is needed")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type, operator]
        raise UnusableInput(f"{name} is {value!r}: a number from {least:g} to {most:g} is needed")
