"""One audit in a process of its own; it never speaks to the queue, only to its worker."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from audit import catalog
from audit.auditor import audit_checkpoint
from audit.errors import AuditError, MachineFault, UnusableInput, is_panic
from audit.helping import help_audit
from audit.outcomes import VERDICT_CODES
from audit.probes.files import looks_like_file
from audit.probes.published import READERS
from audit.progress import Advance
from audit.results import Plan
from audit.store import Fence
from workers.paths import resolved
from workers.wire import Commit, Failed, Granted, Helped, Line, Published, Run, Stage

_EVERY: Final = 0.2  # seconds between two words about the same stage


def warm() -> None:
    """Import what every audit needs; run nothing and start no thread."""
    catalog.metrics()
    catalog.rules()
    catalog.probes()


def perform(run: Run, line: Line) -> None:
    """Make the audit, or help to, and say how it ended; only a death leaves no word."""
    try:
        done = _helped(run, line) if run.helps else _audited(run, line)
    except AuditError as error:
        line.say(Failed(str(error), error.exit_code, again=isinstance(error, MachineFault)))
    except MemoryError:
        line.say(Failed("memory ran out; try a smaller batch_size or max_length", 5, again=True))
    except BaseException as error:  # the last place where it can be told
        if not (isinstance(error, Exception) or is_panic(error)):
            raise
        line.say(Failed(f"a fault of ours: {type(error).__name__}: {error}"[:1_000], 4, again=False))
    else:
        line.say(done)


def _audited(run: Run, line: Line) -> Published:
    began, root = monotonic(), Path(run.root)
    audit = audit_checkpoint(
        resolved(run.checkpoint, root=root),
        _plan(run, root),
        policy=_policy(run, root),
        adapter=_below(run.adapter, root, "adapter"),
        model_root=root,
        store=Path(run.store),
        pdf=run.pdf,
        force=run.force,
        progress=_Told(line),
        command=f"attnaudit submit {run.checkpoint}",
        fence=Fence(run.label, lambda audit_id: _granted(audit_id, run.label, line)),
    )
    own = round(monotonic() - began, 3)
    return Published(audit.audit_id, audit.verdict, VERDICT_CODES[audit.verdict], own)


def _helped(run: Run, line: Line) -> Helped:
    began, root = monotonic(), Path(run.root)
    help_audit(
        resolved(run.checkpoint, root=root),
        _plan(run, root),
        policy=_policy(run, root),
        adapter=_below(run.adapter, root, "adapter"),
        model_root=root,
        store=Path(run.store),
        force=run.force,
        progress=_Told(line),
        label=run.label,
    )
    return Helped(round(monotonic() - began, 3))


def _policy(run: Run, root: Path) -> Path | str | None:
    return run.policy if not (run.policy or "").endswith(".toml") else _below(run.policy, root, "policy")


def _plan(run: Run, root: Path) -> Plan:
    """The plan as this service carries it out: files below the model root, the operator's threads and permissions."""
    if run.plan.allow_pickle and not run.allow_pickle:
        raise UnusableInput(
            "allow_pickle: this service reads no pickle weights; ATTNAUDIT_ALLOW_PICKLE=1 lets it"
        )
    probes = tuple(_probe(name, root) for name in run.plan.probes)
    most = run.threads or os.cpu_count() or 1
    threads = min(run.plan.threads, most) if run.plan.threads else run.threads
    return dataclasses.replace(run.plan, probes=probes, threads=threads)


def _probe(name: str, root: Path) -> str:
    """A probe's file below the root, its kind said and its columns mapped as the name does; a shipped one's name."""
    kind, colon, file = name.partition(":")
    if colon and kind in READERS:
        return f"{kind}:{resolved(file, root=root, what='probe')}"
    if not looks_like_file(name):
        return name
    file, colon, columns = name.partition(":")
    return f"{resolved(file, root=root, what='probe')}{colon}{columns}"


def _below(name: str | None, root: Path, what: str) -> Path | None:
    return resolved(name, root=root, what=what) if name else None


def _granted(audit_id: str, label: str, line: Line) -> bool:
    """The worker's answer, which is the ledger's; an answer meant for an earlier attempt is passed over."""
    line.say(Commit(audit_id))
    while (order := line.next_order()) is not None:
        if isinstance(order, Granted) and order.label == label:
            return order.granted
    return False


class _Told:
    """Progress that is said on the line, not too often."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """A stage; its first and last step are always told."""
        done, told = 0, 0.0

        def advance(steps: int) -> None:
            nonlocal done, told
            done += steps
            if done >= total or monotonic() - told >= _EVERY:
                told = monotonic()
                self._line.say(Stage(name, done, total))

        self._line.say(Stage(name, 0, total))
        yield advance
