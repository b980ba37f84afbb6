"""Padded batches of windows."""

import torch

from audit.probes.batching import batches
from audit.probes.windows import Window

WINDOWS = [
    Window("a", (1, 5, 6, 2), (5, 6)),
    Window("b", (1, 7, 2), (7,)),
    Window("a", (1, 8, 9, 9, 2), (8, 9, 9)),
]


def made(size):
    return list(batches(WINDOWS, size=size, pad_id=2, special_ids={1, 2}))


def test_rows_are_padded_on_the_right_to_the_longest_of_their_batch():
    """Not to the longest of the probe: padding costs time."""
    first, second = made(2)

    assert first.input_ids.tolist() == [[1, 5, 6, 2], [1, 7, 2, 2]]
    assert first.tokens.tolist() == [[True] * 4, [True, True, True, False]]
    assert second.input_ids.tolist() == [[1, 8, 9, 9, 2]]


def test_padding_is_never_special_even_where_it_shares_its_id():
    """Many tokenizers pad with the end-of-sequence token."""
    first, _ = made(2)

    assert first.special.tolist() == [[True, False, False, True], [True, False, True, False]]


def test_samples_are_numbered_through_and_keep_their_documents():
    """The number is the sample's index in the probe, whatever batch it is in."""
    first, second = made(2)

    assert first.samples + second.samples == (0, 1, 2)
    assert first.documents + second.documents == ("a", "b", "a")


def test_tensors_have_the_promised_types():
    """int64 ids, boolean masks of the same shape."""
    for batch in made(2):
        assert batch.input_ids.dtype == torch.int64
        assert batch.tokens.dtype == batch.special.dtype == torch.bool
        assert batch.input_ids.shape == batch.tokens.shape == batch.special.shape


def test_without_special_ids_nothing_is_special():
    """A checkpoint without a tokenizer may know none."""
    (batch,) = batches(WINDOWS, size=8, pad_id=0, special_ids=())

    assert not batch.special.any()
