"""A probe is parted by documents, and nothing of it is lost."""

import torch

from audit.interventions.halves import first, halves
from audit.observations import Batch
from tests.interventions.subjects import Texts


def test_no_document_stands_in_both_halves_and_none_is_lost() -> None:
    """Windows of one document go together: the halves are independent."""
    fed = Texts("prose", (_batch(0, "aabbc", 6), _batch(5, "cdda", 8)))
    detection, confirmation = halves(fed)
    names = [
        {name for batch in half.batches for name in batch.documents} for half in (detection, confirmation)
    ]
    assert names == [{"a", "c"}, {"b", "d"}]
    assert sorted(detection.samples + confirmation.samples) == list(range(9))
    assert detection.name == confirmation.name == "prose"


def test_rows_keep_their_tokens_and_batches_their_size() -> None:
    """Each sample is the same text; padding is made anew to the longest of its batch."""
    fed = Texts("prose", (_batch(0, "abcd", 6), _batch(4, "efgh", 9)))
    for half in halves(fed):
        assert [len(batch.samples) for batch in half.batches] == [4]
        (batch,) = half.batches
        for row, sample in enumerate(batch.samples):
            length = 6 - sample % 2 if sample < 4 else 9 - sample % 2
            assert batch.input_ids[row, batch.tokens[row]].tolist() == [
                100 * sample + at for at in range(length)
            ]
            assert int(batch.special[row].sum()) == 1
            assert bool(batch.special[row, 0])


def test_the_beginning_of_a_probe_is_whole_documents() -> None:
    """All windows of the first documents, and everything where no number is given."""
    texts = Texts("prose", (_batch(0, "abab", 5), _batch(4, "c", 5)))
    assert [batch.samples for batch in first(texts, 1).batches] == [(0, 2)]
    assert [batch.samples for batch in first(texts, 2).batches] == [(0, 1, 2, 3)]
    assert first(texts, None) is texts


def test_one_document_is_all_detection() -> None:
    """Nothing is left to confirm on, which the confirmation then says."""
    detection, confirmation = halves(Texts("prose", (_batch(0, "aaa", 5),)))
    assert detection.samples == (0, 1, 2)
    assert confirmation.batches == ()


def _batch(first: int, documents: str, length: int) -> Batch:
    """Rows whose ids tell sample and place; every other one is padded by one, on the left."""
    samples = tuple(range(first, first + len(documents)))
    ids = torch.tensor([[100 * sample + at for at in range(length)] for sample in samples])
    tokens = torch.ones_like(ids, dtype=torch.bool)
    for row, sample in enumerate(samples):
        if sample % 2:
            ids[row], tokens[row] = ids[row].roll(1), tokens[row].roll(1)
            ids[row, 0], tokens[row, 0] = 0, False
    special = torch.zeros_like(tokens)
    for row in range(len(samples)):
        special[row, int(tokens[row].int().argmax())] = True
    return Batch(ids, tokens, special, samples, tuple(documents))
