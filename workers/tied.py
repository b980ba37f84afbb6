"""Ties a process to its parent: `python -P -m workers.tied PARENT COMMAND ...` becomes COMMAND and ends when PARENT does."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent(number: int = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Let the kernel send `number` to this process when the thread that started it ends; nothing where it cannot.

    Told who the `parent` is, it also notices one that died before the kernel knew.
    """
    if sys.platform != "linux":
        return
    parent = parent or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the kernel was told
        os.kill(os.getpid(), number)


def main() -> None:
    """Become the command; the tie outlives the change."""
    die_with_parent(signal.SIGTERM, parent=int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the supervisor's own


if __name__ == "__main__":
    main()
