"""Sound checkpoints, made once; tests copy before they spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoint import making


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint of each form, by name."""
    root = tmp_path_factory.mktemp("sound")
    (root / "gguf").mkdir()
    making.write_gguf(making.llama(), root / "gguf" / "tiny.gguf")
    return {
        "bert": making.saved(making.bert(), root / "bert"),
        "llama": making.saved(making.llama(), root / "llama"),
        "sharded": making.saved(making.llama(), root / "sharded", max_shard_size="30KB"),
        "pickle": making.pickled(making.bert(), root / "pickle"),
        "gguf": root / "gguf",
    }


@pytest.fixture
def copied(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a sound checkpoint that the test may spoil."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(sound[name], tmp_path / name))

    return copy
