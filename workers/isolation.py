"""Takes the network from the process of an audit, which speaks to its worker through pipes and needs none.

Two fences: Python's own audit hook, which cannot be removed, and where the kernel permits it a network namespace of
the process's own, which holds for every library. `python -P -m workers.isolation` ends with 0 where both stand.
"""

import ctypes
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

_NEW_USER: Final = 0x10000000  # linux/sched.h
_NEW_NET: Final = 0x40000000
_NAMES: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)
_ADDRESSES: Final = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
_LOCAL: Final = frozenset({int(socket.AF_UNIX), -1})  # -1: a descriptor that was there before


def cut_off() -> bool:
    """Leave this process, for good, without network; whether the kernel enforces it. Call it with one thread only."""
    is_enforced = sys.platform == "linux" and _leave_network()
    sys.addaudithook(_guard)
    return is_enforced


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    reaches_out = (
        event in _NAMES
        or (event == "socket.__new__" and int(arguments[1]) not in _LOCAL)
        or (event in _ADDRESSES and isinstance(arguments[1], tuple))
    )
    if reaches_out:
        raise PermissionError(f"an audit has no network: {event} was refused")


def _leave_network() -> bool:
    """Whether this process is alone in a network without a single device that is up."""
    unshare, user, group = ctypes.CDLL(None, use_errno=True).unshare, os.geteuid(), os.getegid()
    if unshare(_NEW_NET) == 0:
        return True
    if not os.access("/proc/self/uid_map", os.W_OK) or unshare(_NEW_USER | _NEW_NET) != 0:
        return False
    # who one is stays the same, or files could not be made any more
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path("/proc/self", name).write_bytes(line.encode())
    return True


if __name__ == "__main__":
    sys.exit(not cut_off())
