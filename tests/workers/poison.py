"""Checkpoints that kill the process that audits them, made from a sound one, and the program that audits them."""

import ctypes
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers import child
from workers.wire import Event, Line, Run, Stage

# every word is tried in 2^21 ways before each of its letters is given up
_BACKTRACKING = r"(\w)(?:[\w ]|\w| ){21}\1\1\1\1"
_PANIC = r"(\w)(?:\w+\s?)+\1\1\1\1"  # unbounded: the library gives up at its limit, and panics


def warm() -> None:
    """As the real program does."""
    child.warm()


def perform(run: Run, line: Line) -> None:
    """The real audit; of the checkpoint called `segfault` it reads address 0 once the model is watched."""
    child.perform(run, _Segfault(line) if run.checkpoint == "segfault" else line)


class _Segfault(Line):
    """A line that takes the interpreter with it."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.reading, line.writing)

    def say(self, event: Event) -> None:
        super().say(event)
        if isinstance(event, Stage) and event.name.startswith("observe"):
            ctypes.string_at(0)


def _copy(sound: Path, folder: Path) -> Path:
    shutil.copytree(sound, folder, ignore=shutil.ignore_patterns("heads.pt"))
    return folder


def _with_tokenizer(sound: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy whose tokenizer carries out other rules."""
    _copy(sound, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the file as it is, not the family's own rules
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    rules = json.loads((folder / "tokenizer.json").read_text())
    change(rules)
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    return folder


def make(kind: str, sound: Path, root: Path) -> Path:
    """The poison checkpoint of that kind, as `root / kind`."""
    if kind == "memory":  # each rule makes two hundred letters of one: a line of text becomes terabytes
        rule = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 200}
        bomb = {"type": "Sequence", "normalizers": [rule] * 6}
        return _with_tokenizer(sound, root / kind, lambda rules: rules.update(normalizer=bomb))
    if kind in {"hang", "panic"}:
        pattern = {"Regex": _BACKTRACKING if kind == "hang" else _PANIC}
        split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        return _with_tokenizer(sound, root / kind, lambda rules: rules.update(pre_tokenizer=split))
    return _copy(sound, root / kind)
