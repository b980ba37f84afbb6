"""Small numerical routines that every room may use; nothing here knows what an audit is."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

RESOLUTION = 1e-7  # singular values below this share of the largest are rounding of the Gram matrix
WORKED_ON = 2**19  # numbers of a batch made float64 at once: 4 MB
CHUNK = 2**19  # float64 entries a thread works on at once: 4 MB, or one matrix
BLOCK = 96  # columns: of products that are symmetric only one half is needed


def rounded(value: float, digits: int = 6) -> float | None:
    """`value` at `digits` significant digits, or None where it is not finite (JSON has no NaN)."""
    value = float(value)
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def undefined(like: Tensor, *shape: int) -> Tensor:
    """A float64 tensor of NaN of that shape, on the device of `like`."""
    return like.new_full(shape, math.nan, dtype=torch.float64)


def some(samples: int, size: int) -> Iterator[slice]:
    """As many samples of that many numbers as are worked on at once, in order and shared out evenly."""
    most = max(1, WORKED_ON // max(1, size))
    count = -(-samples // max(1, -(-samples // most))) or 1
    return (slice(start, min(start + count, samples)) for start in range(0, samples, count))


def masked_mean(values: Tensor, mask: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Mean of `values` over `dim` where `mask` holds; NaN where it holds nowhere."""
    mask = mask.expand_as(values)
    total = torch.where(mask, values, 0.0).sum(dim)
    return total / mask.sum(dim)  # 0/0 is NaN, which is what 'nowhere' means


def entropy(total: Tensor, logarithms: Tensor) -> Tensor:
    """Shannon entropy in nats of rows with these sums of p and of p log p, as if p summed to 1; NaN for none."""
    return (total.log() - logarithms / total).clamp_min(
        0.0
    )  # rounding may leave -1e-16 where all mass is on one key


def row_entropy(pattern: Tensor) -> Tensor:
    """Entropy in nats of each row along the last axis, as if it summed to 1; NaN for a row of zeros."""
    return entropy(pattern.sum(-1), torch.special.xlogy(pattern, pattern).sum(-1))


def singular_values(matrices: Tensor) -> Tensor:
    """Singular values [..., min(rows, columns)] in float64, largest first, of a stack of matrices.

    Taken from the eigenvalues of the smaller Gram matrix in float64, in half the time of a full decomposition
    and within a relative 1e-6 (1e-4) of it down to singular values 1e-5 (1e-6) of the largest; what is smaller
    than `RESOLUTION` times the largest is returned as 0. A matrix that is not finite has NaN for all.
    """
    stack = matrices.reshape(-1, *matrices.shape[-2:])
    shares = torch.chunk(stack, torch.get_num_threads() if stack.device.type == "cpu" else 1)
    with _one_thread(), ThreadPoolExecutor(len(shares)) as pool:
        later = [pool.submit(_spectra, share) for share in shares[1:]]
        # the first share is for this thread: one less to start
        values = torch.cat([_spectra(shares[0]), *(each.result() for each in later)])
    return values.reshape(*matrices.shape[:-2], -1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small eigenproblems run four times faster on one thread each, and bit-equal however many run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that start now begin with this too
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _spectra(matrices: Tensor) -> Tensor:
    """Singular values, float64, of a stack [n, rows, columns]."""
    size = max(1, CHUNK // max(1, matrices[:1].numel()))
    return torch.cat([_spectrum(part) for part in torch.split(matrices, size)])


def _spectrum(matrices: Tensor) -> Tensor:
    """Singular values, float64, of a stack [n, rows, columns] small enough to be worked on at once."""
    gram = _gram(matrices if matrices.shape[-2] > matrices.shape[-1] else matrices.mT)
    finite = gram.isfinite().all(-1).all(-1)[:, None]
    values = torch.linalg.eigvalsh(torch.where(finite[..., None], gram, 0.0), UPLO="L")  # all there is
    values = values.flip(-1).clamp_min(0.0).sqrt()
    values = torch.where(values < RESOLUTION * values[:, :1], 0.0, values)
    return torch.where(finite, values, math.nan)


def _gram(matrices: Tensor) -> Tensor:
    """Products of the columns in float64, made of some rows at a time; only the lower half is to be read."""
    columns = matrices.shape[-1]
    gram = matrices.new_zeros(len(matrices), columns, columns, dtype=torch.float64)
    for part in torch.split(matrices, max(1, CHUNK // max(1, 2 * len(matrices) * columns)), 1):
        wide = part.double()
        for start in range(0, columns, BLOCK):
            left, right = wide[..., start:], wide[..., start : start + BLOCK]
            gram[:, start:, start : start + BLOCK].baddbmm_(left.mT, right)
    return gram


def mean_cosine(left: Tensor, right: Tensor, mask: Tensor) -> Tensor:
    """Mean cosine of each row of `left` with the same row of `right` where `mask` holds, float64 [batch].

    Rows where either vector is zero have no angle and are left out; NaN where no row is left.

    Args:
        left: [batch, row, width].
        right: [batch, row, width].
        mask: bool [batch, row].
    """
    left, right = left.double(), right.double()
    norms = torch.linalg.vector_norm(left, dim=-1) * torch.linalg.vector_norm(right, dim=-1)
    return masked_mean((left * right).sum(-1) / norms, mask & (norms != 0), -1)


def mean_pairwise_cosine(vectors: Tensor, mask: Tensor) -> Tensor:
    """Mean cosine over all pairs of different rows where `mask` holds, float64 [batch].

    Costs O(rows x width): the squared length of the sum of the unit vectors counts every pair twice and
    every vector once with itself. Zero vectors have no direction and are left out; NaN for fewer than two rows.

    Args:
        vectors: [batch, row, width].
        mask: bool [batch, row].
    """
    vectors = vectors.double()
    norms = torch.linalg.vector_norm(vectors, dim=-1)
    if not bool(norms.isfinite().all()):  # a weight of 0 would not silence NaN
        vectors = torch.where(mask[..., None], vectors, 0.0)
        norms = torch.linalg.vector_norm(vectors, dim=-1)
    mask = mask & (norms != 0)
    weights = torch.where(mask, 1.0 / norms, 0.0)
    total = (weights[..., None, :] @ vectors)[..., 0, :]  # of the unit vectors
    count = mask.sum(-1)
    pairs = torch.where(count > 1, count * (count - 1.0), math.nan)
    return (total.square().sum(-1) - count) / pairs
