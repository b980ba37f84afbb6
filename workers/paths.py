"""From a relative name to a path below the model root, links followed."""

import os
from pathlib import Path

from audit.errors import UnusableInput
from workers.message import below_root


def resolved(name: str, *, root: Path, what: str = "checkpoint") -> Path:
    """The path of `name` below `root`; UnusableInput where it is missing or a link leads outside."""
    base = root.resolve()
    path = base / below_root(name, what)
    real = path.resolve()
    if not real.is_relative_to(base):
        raise UnusableInput(f"{what} {name!r} is a link that leads outside the model root")
    if not real.exists():
        raise UnusableInput(f"no {what} {name!r} below the model root")
    return path


def relative(given: str, *, root: Path | None) -> str:
    """`given` as a name relative to `root`: a path seen from here that lies below it, or `given` as it is."""
    if root is None:
        return given
    base, path = root.absolute(), Path(os.path.abspath(Path(given).expanduser()))  # noqa: PTH100 - takes `..` out
    if path.is_relative_to(base) and path != base and (path.exists() or not (base / given).exists()):
        return path.relative_to(base).as_posix()
    return given
