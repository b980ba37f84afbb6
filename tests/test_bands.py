"""A mask of runs says of every row and key what a table of all pairs says."""

import pytest
import torch

from audit.bands import Band, Runs
from audit.patterns import Mask, Part

QUERIES, KEYS = 9, 9


def _seen(kind: str) -> torch.Tensor:
    row, key = torch.arange(QUERIES)[:, None], torch.arange(KEYS)
    one = {
        "causal": key <= row,
        "window": (key <= row) & (key > row - 3),
        "chunks": (key <= row) & (key // 4 == row // 4),
        "both ways": (key >= 0) & (row >= 0),
        "padded": (key < 6) & (key <= row),
        "some rows see nothing": (key <= row) & (row > 3),
    }[kind]
    return torch.stack([one, one & (key < 7)])[:, None]


@pytest.mark.parametrize(
    "kind", ["causal", "window", "chunks", "both ways", "padded", "some rows see nothing"]
)
def test_runs_say_what_a_table_says(kind: str) -> None:
    """Counts of rows, keys and diagonals, and any part of the table."""
    seen = _seen(kind)
    real = torch.ones(2, QUERIES, dtype=torch.bool)
    real[1, 7:] = False
    runs = Runs.of(seen)
    assert runs is not None
    band, table = Band(real, KEYS, runs=runs), Mask(real, KEYS, visible=seen)

    assert torch.equal(band.shown, table.shown)
    assert torch.equal(band.every, table.every)
    assert torch.equal(band.per_row, table.per_row)
    assert torch.equal(band.per_key, table.per_key)
    offsets = range(-KEYS, KEYS + 1)
    assert torch.equal(band.along(offsets), table.along(offsets))
    at = torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(KEYS))
    assert torch.equal(band.seeing(at), table.seeing(at))
    which = torch.tensor([[0, 4, 8], [8, 8, 2]])
    assert torch.equal(band.rows(which), table.rows(which))
    for start in range(0, KEYS, 2):
        keys = slice(start, min(KEYS, start + 2))
        rows = band.rows_of(keys)
        outside = torch.ones(QUERIES, dtype=torch.bool)
        outside[rows] = False
        assert not table.every[:, 0, outside, keys].any()
        part = Part(slice(0, 2), slice(0, 3), rows, keys)
        mine, expected = band.hidden(part), table.hidden(part)
        assert expected is not None
        assert torch.equal(mine[1], expected[1])


def test_gaps_and_heads_of_their_own_are_no_runs() -> None:
    """What two numbers cannot say is not said by them."""
    gap = torch.tensor([True, False, True]).expand(1, 1, 3, 3)
    heads = torch.stack([torch.ones(3, 3).tril(), torch.ones(3, 3)])[None].bool()

    assert Runs.of(gap) is None
    assert Runs.of(heads) is None
