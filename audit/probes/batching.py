"""Puts windows into batches of padded tensors."""

from collections.abc import Collection, Iterator, Sequence

import torch

from audit.observations import Batch
from audit.probes.windows import Window


def batches(
    windows: Sequence[Window], *, size: int, pad_id: int, special_ids: Collection[int]
) -> Iterator[Batch]:
    """Batches of `size` windows in sample order, padded on the right to the longest of each batch.

    `special_ids` are marked wherever they stand, in the frame or in the text.
    """
    for start in range(0, len(windows), size):
        yield _batch(windows[start : start + size], start, pad_id, special_ids)


def _batch(windows: Sequence[Window], start: int, pad_id: int, special_ids: Collection[int]) -> Batch:
    width = max(len(window.ids) for window in windows)
    input_ids = torch.full((len(windows), width), pad_id, dtype=torch.int64)
    tokens = torch.zeros((len(windows), width), dtype=torch.bool)
    for row, window in enumerate(windows):
        input_ids[row, : len(window.ids)] = torch.tensor(window.ids, dtype=torch.int64)
        tokens[row, : len(window.ids)] = True
    special = torch.isin(input_ids, torch.tensor(sorted(special_ids), dtype=torch.int64)) & tokens
    return Batch(
        input_ids=input_ids,
        tokens=tokens,
        special=special,
        samples=tuple(range(start, start + len(windows))),
        documents=tuple(window.document for window in windows),
    )
