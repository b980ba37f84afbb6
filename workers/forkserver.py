"""The process that audits are forked from: it has imported everything, run nothing, and holds one thread.

`python -P -m workers.forkserver MODULE warm|cold`: MODULE has `warm()` and `perform(run, line)`. Cold, the child does the
imports itself. The child is killed when the fork server is told to stop (SIGTERM), when it dies, and when its worker dies.
"""

import gc
import os
import resource
import select
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

from workers.isolation import cut_off
from workers.tied import die_with_parent
from workers.wire import Born, Exited, Line, Ready, Run

_KILLS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until the worker is gone."""
    die_with_parent()
    program, is_warm = sys.argv[1], sys.argv[2] == "warm"
    line = _taken_over()
    bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
    for number in (*_KILLS, signal.SIGCHLD):
        signal.signal(number, _heard)
    if is_warm:
        import_module(program).warm()
        if _threads() > 1:
            _become_cold(program, line)
        gc.freeze()  # the children must not copy what they only read
    with suppress(BrokenPipeError):  # the worker is gone, which is the end
        line.say(Ready(warm=is_warm))
        while (order := line.next_order()) is not None:
            if isinstance(order, Run):  # an answer meant for a child that died is dropped
                line.say(_forked(program, order, line, bell))


def _taken_over() -> Line:
    """The conversation on descriptors of its own: what a library prints goes to standard error."""
    line = Line(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return line


def _become_cold(program: str, line: Line) -> NoReturn:
    """Begin anew without imports: a process that holds threads must not be forked."""
    os.dup2(line.reading, 0)
    os.dup2(line.writing, 1)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers.forkserver", program, "cold"])  # noqa: S606


def _heard(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor says the rest."""


def _threads() -> int:
    """Threads of this process, those of libraries included where the system tells."""
    tasks = "/proc/self/task"
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else threading.active_count()  # noqa: PTH208, PTH112


def _forked(program: str, order: Run, line: Line, bell: int) -> Exited:
    _drained(bell)  # a signal meant for the child before
    server, pid = os.getpid(), os.fork()
    if pid == 0:
        _child(program, order, line, server)
    line.say(Born(pid))
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    poll.register(line.reading, 0)  # hang-up only: what is to be read there is the child's
    while True:
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            return _exited(status, used.ru_maxrss)
        for descriptor, event in poll.poll():
            told = descriptor == bell and any(number in _KILLS for number in _drained(bell))
            if told or event & (select.POLLHUP | select.POLLERR):
                _kill(pid)


def _drained(bell: int) -> bytes:
    """Numbers of the signals that came since the last look."""
    try:
        return os.read(bell, 512)
    except BlockingIOError:
        return b""


def _kill(pid: int) -> None:
    """The child and whatever it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet
        os.kill(pid, signal.SIGKILL)


def _exited(status: int, maxrss: int) -> Exited:
    code = os.waitstatus_to_exitcode(status)
    peak = maxrss * (1 if sys.platform == "darwin" else 1024)
    return Exited(code if code >= 0 else None, -code if code < 0 else None, peak)


def _child(program: str, order: Run, line: Line, server: int) -> NoReturn:
    """Never returns into the fork server's code."""
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(parent=server)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not fill the disk
        _last_to_be_missed()
        signal.set_wakeup_fd(-1)
        for number in (*_KILLS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        cut_off()
        import_module(program).perform(order, line)
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _last_to_be_missed() -> None:
    """Where memory runs out, the system shall kill the audit and not its worker."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write("1000")
    except OSError:
        return


if __name__ == "__main__":
    main()
