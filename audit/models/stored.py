"""The tensors of a checkpoint, each read from disk only when the loader asks for it.

Handing these to transformers instead of a folder means that exactly the files that were checked are loaded, and
that no tensor is in memory twice.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from safetensors import safe_open
from torch import Tensor

from audit.checkpoint.pickle_files import unpickled
from audit.checkpoint.records import Checkpoint


class _Safetensor:
    """A tensor that is read when it is indexed, which is how the loader materialises one."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name

    def __getitem__(self, _: object) -> Tensor:
        found: Tensor = self._file.get_tensor(self._name)
        return found


@contextmanager
def stored_tensors(checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    """Name -> tensor, or something that gives the tensor when indexed, of safetensors or pickled weights."""
    with ExitStack() as stack:
        files = {
            name: _opened(checkpoint, name, stack)
            for name in {header.file for header in checkpoint.tensors.values()}
        }
        yield {name: files[header.file][name] for name, header in checkpoint.tensors.items()}


def _opened(checkpoint: Checkpoint, name: str, stack: ExitStack) -> Mapping[str, Any]:
    path = checkpoint.directory / name
    if checkpoint.form == "pickle":
        return unpickled(path, name)
    # read, not mapped: a mapped page counts twice once it is converted, and a file that shrinks kills the process
    file = stack.enter_context(safe_open(path, framework="pt", backend="pread"))
    return {key: _Safetensor(file, key) for key in file.keys()}  # noqa: SIM118 - the handle is no dict
