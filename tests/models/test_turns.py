"""Calls that take turns end as if each had run alone."""

import threading

import pytest

from audit.models.turns import in_turns, pause, taking_turns


def test_each_runs_until_it_pauses_and_then_the_next_does() -> None:
    """Round and round, and the results come in order."""
    seen: list[str] = []

    def call(name: str, pauses: int) -> str:
        assert taking_turns()
        for step in range(pauses):
            seen.append(f"{name}{step}")
            pause()
        return name

    assert list(in_turns([lambda: call("a", 3), lambda: call("b", 1), lambda: call("c", 2)])) == [
        "a",
        "b",
        "c",
    ]
    assert seen == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_a_pause_where_nobody_waits_is_none() -> None:
    """A call by itself goes on."""
    assert not taking_turns()
    pause()


def test_one_that_fails_ends_the_others() -> None:
    """Its error is raised, and no thread is left."""
    before, cleaned = threading.active_count(), []

    def waiting() -> None:
        try:
            pause()
            pause()
        finally:
            cleaned.append(True)

    def failing() -> None:
        pause()
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        list(in_turns([waiting, failing, waiting]))
    assert cleaned == [True, True]
    assert threading.active_count() == before


def test_nothing_gives_nothing() -> None:
    """No calls, no results."""
    assert list(in_turns([])) == []
