"""Memory is given back when a stage, or a long step of one, is done."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from audit import tidying
from audit.progress import Silent
from audit.tidying import Tidy


class Graph:
    """As a backward pass leaves it: it holds itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _by_hand() -> Iterator[None]:
    """Python looks for no cycles by itself."""
    gc.disable()
    yield
    gc.enable()


def left_behind() -> "weakref.ref[Graph]":
    return weakref.ref(Graph())


def test_a_long_step_leaves_no_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the next begins."""
    monkeypatch.setattr(tidying, "_STEP", 0.0)
    with Tidy(Silent()).stage("weigh", 2) as advance:
        graph = left_behind()
        advance(1)
        assert graph() is None


def test_a_quick_step_is_not_kept_waiting() -> None:
    """Nor a stage that was done at once."""
    with Tidy(Silent()).stage("weigh", 2) as advance:
        graph = left_behind()
        advance(1)
        assert graph() is not None
    assert graph() is not None


def test_a_long_stage_leaves_no_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its steps were."""
    monkeypatch.setattr(tidying, "_STAGE", 0.0)
    with Tidy(Silent()).stage("weigh", 2):
        graph = left_behind()
    assert graph() is None
