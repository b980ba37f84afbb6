"""The numerical routines that every room shares."""

import math

import pytest
import torch
from torch import Tensor

from audit import numerics

NAN = math.nan


def _tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _orthogonal(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    q: Tensor = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
    return q


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1 / 3, 0.333333),
        (123456789.0, 123457000.0),
        (1.5e-9, 1.5e-9),
        (NAN, None),
        (math.inf, None),
        (0, 0.0),
    ],
)
def test_a_number_is_rounded_to_six_digits_or_absent(value: float, expected: float | None) -> None:
    """What is not finite has no place in JSON."""
    assert expected == numerics.rounded(value)


def test_rounding_keeps_as_many_digits_as_asked() -> None:
    """Digits are significant ones."""
    assert numerics.rounded(0.0012345, digits=2) == 0.0012


def test_undefined_is_nan_in_float64_of_the_shape_asked() -> None:
    """Whatever the type of the tensor beside it."""
    value = numerics.undefined(torch.zeros(1, dtype=torch.bfloat16), 2, 3)

    assert (value.dtype, tuple(value.shape)) == (torch.float64, (2, 3))
    assert value.isnan().all()


def test_a_masked_mean_reads_only_what_the_mask_holds() -> None:
    """NaN outside the mask does no harm; a mask that holds nowhere gives NaN; NaN inside it shows."""
    values = torch.tensor([[1.0, 3.0, NAN], [1.0, 1.0, 1.0], [NAN, 1.0, 1.0]])
    mask = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])

    torch.testing.assert_close(
        numerics.masked_mean(values, mask, -1), torch.tensor([2.0, NAN, NAN]), equal_nan=True
    )


def test_a_masked_mean_broadcasts_its_mask() -> None:
    """A mask of rows serves every head; several axes may be averaged at once."""
    values = torch.arange(12.0).reshape(2, 2, 3)
    mask = torch.tensor([True, True, False])

    assert numerics.masked_mean(values, mask, (0, -1)).tolist() == [3.5, 6.5]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((0.25, 0.25, 0.25, 0.25), math.log(4)),
        ((0.5, 0.5, 0.0), math.log(2)),
        ((0.0, 1.0), 0.0),
        ((0.05, 0.05), math.log(2)),
        ((3e-9, 0.0), 0.0),
        ((0.0, 0.0), NAN),
    ],
)
def test_the_entropy_of_a_row_is_that_of_its_shares(row: tuple[float, ...], expected: float) -> None:
    """0 log 0 is 0, the row's sum does not count, and a row of zeros has no shares."""
    assert expected == pytest.approx(float(numerics.row_entropy(_tensor(*row))), abs=1e-15, nan_ok=True)


def test_entropy_is_never_negative() -> None:
    """Rounding on one-hot rows does not lead below 0, whatever their sum."""
    rows = torch.stack((torch.linspace(0.001, 1.0, 1000), torch.zeros(1000)), -1).double()

    assert (numerics.row_entropy(rows) >= 0).all()


@pytest.mark.parametrize("shape", [(3, 40, 40), (2, 2, 30, 17), (17, 30)], ids=["square", "tall", "wide"])
def test_singular_values_are_those_of_a_full_decomposition(shape: tuple[int, ...]) -> None:
    """Any stack of matrices, largest first, float64."""
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.svdvals(matrices.double())

    torch.testing.assert_close(numerics.singular_values(matrices), expected, rtol=1e-10, atol=0.0)


def test_small_singular_values_are_accurate_down_to_a_millionth() -> None:
    """Relative 1e-6 down to 1e-5 of the largest, 1e-4 down to 1e-6; below 1e-7 of it, 0."""
    known = torch.logspace(0, -9, 128, dtype=torch.float64)
    found = numerics.singular_values((_orthogonal(128, 0) * known) @ _orthogonal(128, 1).mT)

    torch.testing.assert_close(found[known > 1e-5], known[known > 1e-5], rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found[known > 1e-6], known[known > 1e-6], rtol=1e-4, atol=0.0)
    assert (found[known < 0.9e-7] == 0).all()


def test_a_rank_one_sink_has_one_singular_value() -> None:
    """A pure sink column has sqrt(T) and exact zeros: no rounding of the Gram matrix is left."""
    pattern = torch.zeros(128, 128)
    pattern[:, 0] = 1.0
    found = numerics.singular_values(pattern)

    assert float(found[0]) == pytest.approx(128**0.5)
    assert (found[1:] == 0).all()


def test_a_nearly_rank_one_sink_keeps_its_small_singular_values() -> None:
    """A float32 sink with .01% spread elsewhere: every value above 1e-6 of the largest is right to 1e-4."""
    pattern = 1e-4 * torch.randn(96, 96, generator=torch.Generator().manual_seed(0)).mul(2).softmax(-1)
    pattern[:, 0] += 1 - 1e-4
    expected = torch.linalg.svdvals(pattern.double())
    large = expected > 1e-6 * expected[0]

    assert int(large.sum()) > 20
    torch.testing.assert_close(numerics.singular_values(pattern)[large], expected[large], rtol=1e-4, atol=0.0)


def test_a_matrix_that_is_not_finite_spoils_no_other() -> None:
    """NaN in one matrix of a stack is NaN in its singular values alone, and nothing is raised."""
    matrices = torch.eye(3).repeat(2, 1, 1)
    matrices[0, 1, 2] = math.inf
    found = numerics.singular_values(matrices)

    assert found[0].isnan().all()
    assert found[1].tolist() == [1.0, 1.0, 1.0]


def test_large_stacks_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts are put together again in order."""
    matrices = torch.randn(7, 5, 6, generator=torch.Generator().manual_seed(0))
    whole = numerics.singular_values(matrices)
    monkeypatch.setattr(numerics, "CHUNK", 60)

    torch.testing.assert_close(numerics.singular_values(matrices), whole)


def test_the_mean_cosine_is_of_rows_that_have_a_direction() -> None:
    """A zero vector is left out, as is what the mask leaves out; with nothing left it is NaN."""
    left = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [2.0, 2.0]], [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]])
    right = torch.tensor([[[9.0, 0.0], [1.0, 0.0], [0.0, 5.0]], [[1.0, 1.0], [1.0, 1.0], [NAN, 1.0]]])
    mask = torch.tensor([[True, True, True], [True, False, False]])

    torch.testing.assert_close(
        numerics.mean_cosine(left, right, mask), _tensor((1 + 0.5**0.5) / 2, NAN), equal_nan=True
    )


def test_the_mean_pairwise_cosine_is_the_mean_over_pairs() -> None:
    """The sum of unit vectors gives what a double loop gives."""
    vectors = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 3:] = False
    pairs = torch.nn.functional.cosine_similarity(vectors[:, :, None], vectors[:, None], dim=-1)
    expected = [float(pairs[b, :n, :n][~torch.eye(n, dtype=torch.bool)].mean()) for b, n in ((0, 9), (1, 3))]

    assert expected == pytest.approx(numerics.mean_pairwise_cosine(vectors, mask).tolist(), rel=1e-12)


def test_what_the_mask_leaves_out_may_be_no_number() -> None:
    """Padding may hold NaN, and a weight of 0 would not silence it."""
    vectors = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True, True, True, False]])
    expected = numerics.mean_pairwise_cosine(vectors, mask)
    vectors[0, 3] = NAN

    torch.testing.assert_close(numerics.mean_pairwise_cosine(vectors, mask), expected)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_directions_make_no_pair(rows: int) -> None:
    """Undefined, not infinite and not 0."""
    mask = torch.arange(3)[None] < rows

    assert numerics.mean_pairwise_cosine(torch.full((1, 3, 3), 0.3), mask).isnan().all()


@pytest.mark.parametrize(
    ("samples", "size"), [(0, 10), (1, 10), (8, 73_728), (3, 346_030), (39, 509_276), (5, 2**30)]
)
def test_samples_are_shared_out_evenly_and_never_too_many_at_once(samples: int, size: int) -> None:
    """In order, all of them, and one at least."""
    parts = list(numerics.some(samples, size))

    assert [index for part in parts for index in range(samples)[part]] == list(range(samples))
    assert all(
        (part.stop - part.start) * size <= numerics.WORKED_ON or part.stop - part.start == 1 for part in parts
    )
    assert samples != 8 or [part.stop - part.start for part in parts] == [4, 4]
