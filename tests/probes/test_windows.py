"""Cutting documents into windows and dealing them out."""

from itertools import islice

import numpy as np

from audit.probes.framing import Frame
from audit.probes.windows import Window, deal, random_windows, text_windows


def stream(name, *sizes):
    """Windows of the given sizes."""
    return iter([Window(name, (0,) * size, (0,) * size) for size in sizes])


def names(dealt):
    return [window.document for window in dealt.windows]


def test_every_document_gives_one_window_before_any_gives_two():
    """Round by round, and a document that has run dry drops out."""
    dealt = deal([stream("a", 9, 9, 9), stream("b", 9), stream("c", 9, 9)], 9, shortest=1)

    assert names(dealt) == ["a", "b", "c", "a", "c", "a"]


def test_no_more_windows_are_taken_than_asked_for():
    """And fewer windows are the beginning of more."""
    streams = [stream("a", 9, 9, 9), stream("b", 9, 9)]

    assert names(deal(streams, 3, shortest=1)) == ["a", "b", "a"]


def test_documents_that_are_not_needed_are_not_read():
    """Tokenizing a large file whole for 32 windows would be a waste."""

    def untouchable():
        raise AssertionError("read too far")
        yield

    dealt = deal([stream("a", 9), stream("b", 9), untouchable()], 2, shortest=1)

    assert names(dealt) == ["a", "b"]


def test_short_windows_are_passed_over_and_counted():
    """Exactly `shortest` is long enough."""
    dealt = deal([stream("a", 4), stream("b", 5, 2), stream("c", 9)], 9, shortest=5)

    assert names(dealt) == ["b", "c"]
    assert dealt.too_short == 2


def test_windows_follow_each_other_without_gap_or_overlap(word_tokenizer):
    """Together they are the document; each stands in the whole frame."""
    text = " ".join(f"w{number}" for number in range(25))
    frame = Frame((1,), (2, 2))
    windows = list(text_windows("d", [text], tokenizer=word_tokenizer, frame=frame, room=10))

    assert [len(window.text) for window in windows] == [10, 10, 5]
    assert word_tokenizer(text)["input_ids"] == [token for window in windows for token in window.text]
    assert all(window.ids == (1, *window.text, 2, 2) for window in windows)


def test_no_window_crosses_from_one_passage_into_the_next(word_tokenizer):
    """Passages of a document share its name and nothing else."""
    windows = list(
        text_windows("d", ["w1 w2 w3", "w4 w5"], tokenizer=word_tokenizer, frame=Frame((), ()), room=2)
    )

    assert [word_tokenizer.decode(list(window.text)) for window in windows] == ["w1 w2", "w3", "w4 w5"]
    assert {"d"} == {window.document for window in windows}


def test_random_windows_are_uniform_over_the_vocabulary():
    """Chi-square of 64,000 draws over 64 ids: fair draws stay below 123 but for one time in 100,000."""
    vocabulary = np.arange(100, 164)
    windows = islice(random_windows("s", vocabulary=vocabulary, length=64, seed=(0, 1)), 1000)
    counts = np.bincount([token for window in windows for token in window.ids], minlength=200)

    assert counts[vocabulary].sum() == counts.sum() == 64_000
    assert ((counts[vocabulary] - 1000) ** 2 / 1000).sum() < 123


def test_random_windows_of_one_stream_differ_and_repeat_with_the_seed():
    """A second window is new text; the same seed gives it again."""
    first, again, other = (
        list(islice(random_windows("s", vocabulary=np.arange(1000), length=20, seed=(0, seed)), 2))
        for seed in (1, 1, 2)
    )

    assert first == again
    assert first[0] != first[1]
    assert first[0] != other[0]
