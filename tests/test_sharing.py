"""Steps that several processes share: each made once, the same wherever it was made, and made again where one died."""

import threading
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest

from audit import sharing
from audit.interventions.readings import Array
from audit.sharing import Step, Unwanted, made, once, refuse_unwanted, shared_in


class Read(NamedTuple):
    """What a step of these tests makes."""

    values: Array
    by_name: dict[str, list[Array | None]]


def read(number: int) -> Read:
    values = np.array([number, np.nan, 1 / 3])
    return Read(values, {"b": [None, values.reshape(3, 1)], "a": []})


def steps(noted: list, count=3):
    """So many, that note who made them."""

    def make(number):
        noted.append(number)
        return read(number)

    return [Step(["read", number], lambda number=number: make(number)) for number in range(count)]


def bytes_of(found):
    return [
        (r.values.tobytes(), {name: [v is None or v.tobytes() for v in vs] for name, vs in r.by_name.items()})
        for r in found
    ]


EXPECTED = bytes_of(map(read, range(3)))


def test_alone_every_step_is_made_in_order(tmp_path):
    """Nothing is written, and what is made comes back to the bit."""
    noted, told = [], []
    assert bytes_of(made(Read, steps(noted), told.append)) == EXPECTED
    assert (noted, told, shared_in()) == ([0, 1, 2], [1, 1, 1], None)
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_once_is_read_from_then_on(tmp_path):
    """By another process or the next attempt, unless it is of another audit, of other threads or of another kind."""
    first, again, foreign = [], [], []
    with sharing.sharing(tmp_path / "kept", "one"):
        assert bytes_of(made(Read, steps(first))) == EXPECTED
        assert bytes_of(made(Read, steps(again, 4))[:3]) == EXPECTED
        assert once(float, ["read", 0], lambda: 0.5) == 0.5
    with sharing.sharing(tmp_path / "kept", "other"):
        made(Read, steps(foreign))
    assert (first, again, foreign) == ([0, 1, 2], [3], [0, 1, 2])


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: b"\0" + data[1:]])
def test_a_torn_or_edited_step_is_made_again(tmp_path, spoil):
    """It is as good as none."""
    noted = []
    with sharing.sharing(tmp_path, "one"):
        made(Read, steps([]))
        for path in tmp_path.glob("*.part"):
            path.write_bytes(spoil(path.read_bytes()))
        assert bytes_of(made(Read, steps(noted))) == EXPECTED
    assert noted == [0, 1, 2]


def ended():
    raise SystemExit


@pytest.mark.parametrize(("end", "here"), [(lambda: read(0), [1, 2]), (ended, [1, 2, 0])])
def test_a_step_that_another_is_at_is_left_to_it(tmp_path, monkeypatch, end, here):
    """The others are made meanwhile; where it dies, its step is made here."""
    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    at_it, others_done, noted = threading.Event(), threading.Event(), []

    def linger():
        at_it.set()
        assert others_done.wait(30)
        return end()

    def other():
        with sharing.sharing(tmp_path, "one"), suppress(SystemExit):
            once(Read, ["read", 0], linger)

    def told(_):
        if len(noted) == 2:
            others_done.set()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    assert at_it.wait(30)
    with sharing.sharing(tmp_path, "one"):
        found = made(Read, steps(noted), told)
    thread.join(30)
    assert bytes_of(found) == EXPECTED
    assert noted == here


def test_one_that_helps_ends_where_the_audit_is_over(tmp_path):
    """Its folder is gone then; whoever makes the audit goes on without."""
    kept = tmp_path / "kept"
    for helping, expected in ((True, [0]), (False, [0, 1, 2])):
        noted = []
        with sharing.sharing(kept, "one", helping=helping):
            refuse_unwanted()
            given = steps(noted)

            def make(first=given[0].make):
                for path in kept.iterdir():
                    path.unlink()
                kept.rmdir()
                return first()

            given[0] = Step(given[0].about, make)
            if helping:
                with pytest.raises(Unwanted):
                    made(Read, given)
            else:
                assert bytes_of(made(Read, given)) == EXPECTED
        assert noted == expected
        assert not kept.exists()


def test_an_error_of_a_step_is_raised_and_nothing_kept(tmp_path):
    """The next one tries again."""

    def fail():
        raise ValueError("no")

    with sharing.sharing(tmp_path, "one"):
        with pytest.raises(ValueError, match="no"):
            once(float, ["x"], fail)
        assert once(float, ["x"], lambda: 1.0) == 1.0
    assert shared_in() is None
