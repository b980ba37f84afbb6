"""Reads what a trainer left beside the weights: Hugging Face's `trainer_state.json`, and its arguments where they are JSON.

A record that cannot be read is told and never refuses a checkpoint; a pickle of arguments is never opened.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from audit.checkpoint.json_files import read_json
from audit.errors import RefusedCheckpoint
from audit.results.training import Logged, Setting, Training

STATE = "trainer_state.json"
_ARGUMENTS = ("training_args.json", "args.json")
_PICKLED = "training_args.bin"
NAMES = frozenset({STATE, *_ARGUMENTS})
_SINGLE = 3.4028235e38  # the largest number of single precision
_LARGEST = 32_000_000  # bytes: about 200,000 lines
_SETTINGS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_ratio",
    "warmup_steps",
    "max_grad_norm",
    "weight_decay",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "label_smoothing_factor",
    "bf16",
    "fp16",
    "load_best_model_at_end",
)
_LONGEST = 80  # characters of a setting
_LOGS_NOTHING = f"{STATE} logs no step of training"
_NO_STATE = f"no {STATE} stands with the checkpoint"


def read_training(files: Mapping[str, Path], names: list[str], config: Mapping[str, Any]) -> Training | None:
    """The record among `files` (name -> real path) of a folder that holds `names`; None where there is none.

    Losses, norms and rates in it may be NaN or infinite, as they were logged.
    """
    found = [name for name in (STATE, *_ARGUMENTS) if name in files]
    if not found and _PICKLED not in names:
        return None
    content, faults = _contents(files, found)
    state = content.get(STATE, {})
    curve = tuple(_curve(state.get("log_history")))
    arguments = [(name, content[name]) for name in _ARGUMENTS if name in content]
    settings = [setting for name, each in arguments for setting in _settings(each, name)]
    if found:
        settings += _dropout(config)
    return Training(
        files=tuple(content),
        steps=_whole(state.get("global_step")),
        planned=_whole(state.get("max_steps")),
        epochs=_finite(state.get("epoch")),
        settings=tuple(settings),
        curve=curve,
        lines=len(curve),
        remarks=tuple(_remarks(names, state, faults)),
        absent=None if curve else faults.get(STATE, _LOGS_NOTHING if STATE in content else _NO_STATE),
    )


def _contents(
    files: Mapping[str, Path], found: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What each file holds, and what is wrong with those that hold nothing usable."""
    content: dict[str, dict[str, Any]] = {}
    faults: dict[str, str] = {}
    for name in found:
        try:
            content[name] = read_json(files[name], name, largest=_LARGEST)
        except RefusedCheckpoint as fault:
            faults[name] = str(fault)
    return content, faults


def _remarks(names: list[str], state: Mapping[str, Any], faults: Mapping[str, str]) -> Iterator[str]:
    yield from faults.values()
    if _PICKLED in names:
        yield f"{_PICKLED} was not read: it is a pickle, which can run code; {_ARGUMENTS[0]} would be read"
    if isinstance(state.get("best_model_checkpoint"), str):
        yield "the trainer tracked a best checkpoint: if it was loaded at the end, the weights are older than the last step"


def _curve(history: Any) -> list[Logged]:
    """The lines of the log in order of steps, those of one step put together."""
    by_step: dict[int, Logged] = {}
    for entry in history if isinstance(history, list) else ():
        step = _whole(entry.get("step")) if isinstance(entry, dict) else None
        if step is None:
            continue
        known = by_step.get(step, Logged(step=step))
        by_step[step] = Logged(
            step=step,
            epoch=_or(_finite(entry.get("epoch")), known.epoch),
            loss=_or(_number(entry.get("loss")), known.loss),
            gradient_norm=_or(_number(entry.get("grad_norm")), known.gradient_norm),
            learning_rate=_or(_finite(entry.get("learning_rate")), known.learning_rate),
            eval_loss=_or(_number(entry.get("eval_loss")), known.eval_loss),
        )
    logged = (line for _, line in sorted(by_step.items()))
    return [line for line in logged if (line.loss, line.gradient_norm, line.eval_loss) != (None, None, None)]


def _settings(arguments: Mapping[str, Any], file: str) -> Iterator[Setting]:
    for name in _SETTINGS:
        value = arguments.get(name)
        if isinstance(value, bool):
            yield Setting(name=name, value=str(value).lower(), file=file)
        elif (number := _finite(value)) is not None:
            yield Setting(name=name, value=number, file=file)
        elif isinstance(value, str):
            yield Setting(name=name, value=value[:_LONGEST], file=file)


def _dropout(config: Mapping[str, Any]) -> list[Setting]:
    """Every dropout probability of the configuration."""
    named = ((key, _finite(value)) for key, value in config.items() if "drop" in key)
    return [Setting(name=key, value=value, file="config.json") for key, value in named if value is not None]


def _number(value: Any) -> float | None:
    """A number, NaN and infinities included; some loggers write it as text.

    What single precision cannot hold, no training has computed: it counts as infinite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return math.copysign(math.inf, number) if abs(number) > _SINGLE else number


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and abs(number) < float("inf") else None


def _whole(value: Any) -> int | None:
    number = _finite(value)
    return int(number) if number is not None and number >= 0 else None


def _or(value: float | None, otherwise: float | None) -> float | None:
    return otherwise if value is None else value
