"""A probe in pieces: cut by its batches alone, worked on by one process at a time, waited for where another is at one."""

from contextlib import contextmanager

import pytest

from audit import pieces
from audit.limits import MOST_SHARDS
from audit.partial import Partial
from audit.pieces import Piece, cut, gather


@pytest.mark.parametrize("count", [1, 5, 16, 17, 40, 1000])
def test_a_cut_keeps_the_order_and_makes_equal_pieces(count):
    """At most sixteen, none empty, whoever asks."""
    found = cut(range(count))
    assert [batch for piece in found for batch in piece] == list(range(count))
    assert len(found) == min(count, MOST_SHARDS)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_piece_is_one_process_s_at_a_time(tmp_path):
    """Whoever comes second is told; the next one has it."""
    one, other, elsewhere = (Partial(tmp_path, name) for name in ("a" * 64, "a" * 64, "b" * 64))
    with one.taken() as mine, other.taken() as theirs, elsewhere.taken() as free:
        assert (mine, theirs, free) == (True, False, True)
    with other.taken() as mine:
        assert mine


def test_where_nothing_can_be_kept_nothing_is_shared(tmp_path):
    """Without a folder, or with one that is gone, the work is one's own."""
    for folder in (None, tmp_path / "gone"):
        with Partial(folder, "a" * 64).taken() as mine:
            assert mine
    assert list(tmp_path.iterdir()) == []


class _Recorder:
    """Numbers looked at, and the order in which they are summed up."""

    def __init__(self):
        self.numbers, self.sums = [], self
        self.absorb = lambda part: self.numbers.extend(part.numbers)


class _Kept:
    """A piece that another process is at for so many looks."""

    def __init__(self, held=0, done=0):
        self.held, self.done = held, done

    @contextmanager
    def taken(self):
        self.held -= 1
        yield self.held < 0

    def restore(self, recorder, seen):
        recorder.numbers.extend([-1] * self.done)
        return self.done

    def keep(self, *_, last):
        pass


def test_what_others_are_at_is_waited_for_and_summed_up_in_order(monkeypatch):
    """What they leave undone is done here; what they did is not."""
    waits, steps = [], []
    monkeypatch.setattr(pieces.time, "sleep", waits.append)

    def look(batch, recorder):
        recorder.numbers.append(batch)
        return {batch}

    kept = [_Kept(), _Kept(held=3, done=1), _Kept()]
    found = [Piece((2 * n, 2 * n + 1), look, _Recorder(), partial, set()) for n, partial in enumerate(kept)]
    whole = _Recorder()
    assert gather(found, whole, steps.append) == {0, 1, 3, 4, 5}
    assert whole.numbers == [0, 1, -1, 3, 4, 5]
    assert len(waits) == 2
    assert sum(steps) == 6
