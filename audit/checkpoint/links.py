"""Where the files of a checkpoint may really stand: links are followed, and must not lead out."""

import stat
from pathlib import Path
from typing import NamedTuple

from audit.checkpoint.wording import quoted
from audit.errors import RefusedCheckpoint


class Place(NamedTuple):
    """A real folder, and the real folders that links in it may lead to."""

    directory: Path
    allowed: tuple[Path, ...]


def place(directory: Path, model_root: Path | None) -> Place:
    """`directory` with its links followed, and what a file in it may resolve to.

    Allowed are the folder itself, the `blobs` of the hub-cache repository it is a snapshot of, and the model
    root. Raises RefusedCheckpoint where there is no such folder or it stands outside the model root.
    """
    real = _resolved(directory, directory)
    allowed = [real]
    if (repository := _hub_repository(real)) is not None:
        allowed.append(repository / "blobs")  # not resolved: a link in its place must not open another folder
    if model_root is not None:
        root = model_root.resolve()
        if not real.is_relative_to(root):
            raise RefusedCheckpoint(
                f"{quoted(directory)} stands outside the model root {quoted(root)}: move it there"
            )
        allowed.append(root)
    return Place(real, tuple(allowed))


def real_file(name: str, where: Place) -> Path:
    """The regular file that `name` in `where` really is.

    Raises RefusedCheckpoint for a broken link, a link that leads out, a device, a pipe or a folder: opening
    some of these would already do harm or never return.
    """
    path = where.directory / name
    real = _resolved(path, where.directory)
    if not any(real.is_relative_to(root) for root in where.allowed):
        raise RefusedCheckpoint(
            f"{name!r} in {quoted(where.directory)} leads out of the checkpoint to {quoted(real)}: "
            "copy the file into the folder"
        )
    if not stat.S_ISREG(real.stat().st_mode):
        raise RefusedCheckpoint(
            f"{name!r} in {quoted(where.directory)} is not a regular file: only plain files are opened"
        )
    return real


def _resolved(path: Path, directory: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except PermissionError:
        raise  # the machine's fault, not the checkpoint's
    except (OSError, RuntimeError, ValueError) as error:  # missing, a loop of links, a NUL in the name
        raise RefusedCheckpoint(
            f"{quoted(path.name)} in {quoted(directory)} is missing or a broken link: restore the file"
        ) from error


def _hub_repository(directory: Path) -> Path | None:
    """The `models--...` folder of a hub cache that `directory` is a snapshot in."""
    for folder in (directory, *directory.parents):
        if folder.name == "snapshots" and folder.parent.name.startswith("models--"):
            return folder.parent
    return None
