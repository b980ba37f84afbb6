"""Keeps the libraries below from asking the hub, and from writing to the user's terminal."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Any

from huggingface_hub import constants
from transformers.utils import logging


@contextmanager
def offline() -> Iterator[None]:
    """Hub look-ups are off inside, whatever the environment says; what stood before is restored.

    Every request of `huggingface_hub` asks this constant first. `datasets` copies it when it is imported.
    """
    modules: list[Any] = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what loaders log, warn or draw reaches the terminal: what matters becomes an error or a remark."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    spreading = getLogger("accelerate")
    before = spreading.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity(logging.CRITICAL)
        spreading.setLevel(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            spreading.setLevel(before)
            if bars:
                logging.enable_progress_bar()
