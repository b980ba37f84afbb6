"""Progress on a terminal as bars with time left; elsewhere as plain lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from audit.progress import Advance, Progress


class _OnTerminal:
    """One bar per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        task = self._bars.add_task(name, total=total)
        yield lambda steps: self._bars.advance(task, steps)


class _PlainLines:
    """One line when a stage ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        yield lambda _: None
        self._console.print(f"{name}: {total} done", highlight=False, markup=False)


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Progress]:
    """A progress display for `stream`."""
    console = Console(file=stream, soft_wrap=True)
    if not console.is_terminal:
        yield _PlainLines(console)
        return
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _OnTerminal(bars)
