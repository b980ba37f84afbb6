"""What every test may ask for: real checkpoints, and the command line run in this process."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

from audit.cli.main import Verbs, execute
from tests import browser as browsing
from workers.cli import VERBS

browser = browsing.browser  # a fixture for all
settings.register_profile("patient", deadline=None)  # a busy machine fails no test
settings.load_profile("patient")

INPUTS = Path(__file__).parent.parent / ".cache" / "inputs"


def _input(name: str) -> Path:
    path = INPUTS / name
    if not path.exists():
        pytest.fail(f"{name} is missing: `make inputs` fetches it")
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2: an encoder in safetensors, 6 layers of 12 heads."""
    return _input("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of SmolLM2-135M-Instruct: a causal model in GGUF, 30 layers of 9 heads, 3 key/value heads."""
    return _input("SmolLM2-135M-Instruct")


@pytest.fixture(scope="session")
def smollm2_gguf(smollm2: Path) -> Path:
    """The GGUF file itself."""
    (path,) = smollm2.glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def bert_tiny() -> Path:
    """BERT-tiny: a masked language model, 2 layers of 2 heads."""
    return _input("BERT-tiny")


@pytest.fixture(autouse=True)
def _speaking() -> Iterator[None]:
    """The command line silences libraries for its whole process; the next test may want to hear them."""
    disabled = logging.root.manager.disable
    yield
    logging.disable(disabled)


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def attnaudit(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process."""

    def run(*words: object) -> Ran:
        code = execute(Verbs(VERBS), [str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
