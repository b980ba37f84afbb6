"""A program for the child process that publishes a ready-made audit, or dies as the checkpoint's name asks."""

import os
import signal
import socket
import time
from pathlib import Path

from audit import store as stores
from audit.errors import AuditError, MachineFault, UnusableInput
from audit.identity import digest_of
from audit.outcomes import VERDICT_CODES
from audit.results import (
    SCHEMA_VERSION,
    Audit,
    PolicyRecord,
    Provenance,
)
from audit.results.subject import Coverage, Subject
from workers.paths import resolved
from workers.wire import Commit, Failed, Granted, Line, Published, Run, Stage


def warm() -> None:
    """Nothing to import."""


def perform(run: Run, line: Line) -> None:
    """Behave as the checkpoint is called."""
    try:
        name = resolved(run.checkpoint, root=Path(run.root)).name
        if run.force or not stores.exists(Path(run.store), _audit_id(run)):
            _behave(name, line)
        _publish(run, line)
    except AuditError as error:
        line.say(Failed(str(error), error.exit_code, again=isinstance(error, MachineFault)))


def _behave(name: str, line: Line) -> None:
    line.say(Stage("observe prose", 1, 4))
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "memory":
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 20) * 16))
    if name == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    if name == "slow":
        for step in range(30):
            time.sleep(0.1)
            line.say(Stage("observe prose", step, 30))
    if name == "network":
        _reach_out()
    if name == "broken":
        raise UnusableInput("a tensor is missing")
    if name == "disk":
        raise MachineFault("no space left")
    time.sleep(0.25 if name == "brief" else 0.02)


def _reach_out() -> None:
    try:
        socket.create_connection(("127.0.0.1", 1))
    except PermissionError as error:
        raise UnusableInput(str(error)) from None


def _publish(run: Run, line: Line) -> None:
    audit_id = _audit_id(run)

    def commit(found: str) -> bool:
        line.say(Commit(found))
        while (order := line.next_order()) is not None:
            if isinstance(order, Granted) and order.label == run.label:
                return order.granted
        return False

    store = Path(run.store)
    if not stores.exists(store, audit_id) or run.force:
        with stores.attempt(store, run.label) as folder:
            stores.write_audit(_audit(audit_id, run), folder)
            (folder / "report.html").write_text("a report " * 10_000)
            fence = stores.Fence(run.label, commit)
            stores.publish(folder, store, audit_id, replace=run.force, fence=fence)
    if run.checkpoint.startswith("unsaid"):
        os.kill(os.getpid(), signal.SIGKILL)
    audit = stores.read(store / audit_id)
    line.say(Published(audit_id, audit.verdict, VERDICT_CODES[audit.verdict]))


def _audit_id(run: Run) -> str:
    return digest_of([run.checkpoint, run.plan.seed, run.policy])[:16]


def _audit(audit_id: str, run: Run) -> Audit:
    return Audit(
        schema_version=SCHEMA_VERSION,
        audit_id=audit_id,
        measurement_id=audit_id,
        subject=Subject(
            digest="0",
            model_type="bert",
            architecture="Fake",
            task="encoder",
            parameters=0,
            blocks=0,
            heads=0,
            kv_heads=0,
            files=(),
        ),
        plan={"seed": run.plan.seed},
        policy=PolicyRecord(name="default", digest="0"),
        provenance=Provenance(
            path=run.checkpoint,
            versions={},
            device="cpu",
            dtype="float32",
            threads=1,
            started="2026-01-01T00:00:00+00:00",
            seconds=0.0,
            command="",
        ),
        coverage=Coverage(layers=(), skipped=(), probes=()),
        measurements={},
        methods={},
        rules={},
        checks=(),
        findings=(),
        exhibits=(),
        verdict="watch",
    )
