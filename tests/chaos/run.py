"""One run: start the service, submit, strike until everything has ended, hold the promises, ask for everything again."""

import contextlib
import datetime as dt
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
from redis.exceptions import RedisError

from audit.errors import MachineFault, UnusableInput
from tests.chaos import promises
from tests.chaos.blows import Blows, Returns
from tests.chaos.plan import Asked, Chaos, Outcome
from tests.chaos.service import Service, until
from tests.test_schema import schema
from workers.client import Client
from workers.connections import connected
from workers.jobs import Job
from workers.schedule.book import Schedules
from workers.schedule.entries import Entry
from workers.schedule.slots import slot_key, slot_name

_TICKS = 3.0  # seconds; a scheduler looks every second
_LEAST_PAUSE = 0.7  # seconds between blows, however quick the audits are


Told = Callable[[int], None]


def run(chaos: Chaos, folder: Path, *, told: Told = lambda _: None) -> Outcome:
    """The service under chaos in `folder`; AssertionError where a promise was broken.

    `told` hears now and then how many jobs have ended.
    """
    service, began = Service(chaos, folder), time.time()
    service.start()
    try:
        with Client(service.url) as client, promises.Reader(service.store) as reader:
            return _struck(chaos, service, client, reader, began, told)
    except BaseException as error:
        error.add_note(service.logs())
        raise
    finally:
        service.stop()


def _struck(
    chaos: Chaos, service: Service, client: Client, reader: promises.Reader, began: float, told: Told
) -> Outcome:
    asked = chaos.asked()
    first = _undisturbed(client, chaos, asked[:4])
    cold = min(job.started or began for job in first) - began
    pause = chaos.pause or max(_LEAST_PAUSE, 2 * statistics.median(job.seconds or 0.0 for job in first))
    since = _scheduled(service.url, chaos)
    over, struck = threading.Event(), time.monotonic()
    with Returns(service) as returns:
        blows = Blows(service, returns, chaos, pause=pause)
        hand = threading.Thread(target=blows.fall, args=(over,))
        hand.start()
        try:
            for ask in asked:
                _submit(client, chaos, ask)
            _all_final(client, [ask.id for ask in asked], limit=chaos.limit, told=told)
        finally:
            over.set()
            hand.join()
    seconds = time.monotonic() - struck
    jobs = _all_final(client, [ask.id for ask in asked], limit=120)
    slots = _fired(client, chaos, since, time.time())
    promises.hold(jobs, asked, service.store, jsonschema.Draft202012Validator(schema()), slots)
    promises.hold_list(client, {job.id for job in (*jobs, *slots)})
    promises.hold_returns(returns.seconds, cold=cold)
    reports = len(reader.folders)
    rerun_seconds = _rerun(client, chaos, asked, jobs, service.store)
    reader.look()
    assert not reader.torn, reader.torn[:5]
    return Outcome(
        blows=blows.fallen,
        pause=pause,
        cold=cold,
        jobs=jobs,
        slots=len(slots),
        seconds=seconds,
        reports=reports,
        pdfs=len(list(service.store.glob("*/report.pdf"))),
        rerun_seconds=rerun_seconds,
        rerun_new_reports=len(reader.folders) - reports,
        back={kind: tuple(found) for kind, found in returns.seconds.items()},
    )


def _undisturbed(client: Client, chaos: Chaos, asked: Sequence[Asked]) -> tuple[Job, ...]:
    """The first jobs, before anything is struck."""
    for ask in asked:
        _submit(client, chaos, ask)
    return _all_final(client, [ask.id for ask in asked], limit=300)


def _submit(client: Client, chaos: Chaos, ask: Asked) -> None:
    """Accepted, however often the service has to be asked: the id makes asking again harmless."""
    while True:
        with contextlib.suppress(MachineFault):
            client.submit(
                chaos.checkpoint,
                chaos.plan_of(ask.seed),
                job_id=ask.id,
                priority=ask.seed % 10,
                pdf=ask.pdf,
            )
            return
        time.sleep(0.2)


def _all_final(
    client: Client, ids: Sequence[str], *, limit: float, told: Told = lambda _: None
) -> tuple[Job, ...]:
    """The jobs, once each has ended."""
    deadline, done = time.monotonic() + limit, dict[str, Job]()
    while len(done) < len(ids):
        with contextlib.suppress(MachineFault, RedisError):
            for job_id in ids:
                if job_id not in done:
                    job = client.status(job_id)
                    if not job.is_final:
                        break
                    done[job_id] = job
            told(sum(client.ledger.figures().totals.values()))
        assert time.monotonic() < deadline, f"{len(ids) - len(done)} jobs are not final after {limit:.0f} s"
        time.sleep(0.2)
    return tuple(done[job_id] for job_id in ids)


def _scheduled(url: str, chaos: Chaos) -> float:
    """Since when a recurring audit runs beside the jobs, for two schedulers to fire."""
    entry = Entry(
        name="beside",
        checkpoints=(chaos.checkpoint,),
        every=chaos.every,
        plan={
            "depth": "quick",
            "samples": 4,
            "max_length": 32,
            "seed": 10_000,
            "metrics": chaos.plan.metrics,
        },
        priority=9,
        pdf=False,
    )
    since = time.time()
    Schedules(connected(url), namespace="attnaudit").apply((entry,), now=since)
    return since


def _fired(client: Client, chaos: Chaos, since: float, now: float) -> tuple[Job, ...]:
    """The jobs of the schedule: one for each slot that was due."""
    first = int(since // chaos.every + 1) * chaos.every
    due = [dt.datetime.fromtimestamp(slot, dt.UTC) for slot in range(first, int(now), chaos.every)]
    ids = ["slot-" + slot_key("beside", chaos.checkpoint, slot_name(slot)) for slot in due]

    def all_are_there() -> bool:
        try:
            return all(client.status(job_id) for job_id in ids)
        except UnusableInput:
            return False

    until(all_are_there, seconds=60, what="a slot that was due made no job")
    Schedules(client.ledger.redis, namespace="attnaudit").remove("beside")
    time.sleep(_TICKS)  # whoever looked before it was removed has fired by then
    late = [job.id for job in client.jobs(limit=10_000) if job.id.startswith("slot-") and job.id not in ids]
    return _all_final(client, [*ids, *late], limit=120)


def _rerun(client: Client, chaos: Chaos, asked: Sequence[Asked], before: Sequence[Job], store: Path) -> float:
    """Seconds to ask for the whole once more: everything is shared, nothing is made but what was quarantined."""
    again = [Asked(f"again-{ask.id}", ask.seed, ask.pdf) for ask in asked]
    written = promises.written(store)
    began = time.monotonic()
    for ask in again:
        _submit(client, chaos, ask)
    jobs = _all_final(client, [ask.id for ask in again], limit=chaos.limit)
    seconds = time.monotonic() - began
    for job, first in zip(jobs, before, strict=True):
        assert job.state == "published", f"{job.id} is {job.state}: {job.reason}"
        if first.state == "published":
            assert (job.audit_id, job.attempt) == (first.audit_id, 1)
    known = {job.audit_id for job in before}
    now = {
        path: time_
        for path, time_ in promises.written(store).items()
        if path in written or path.parent.name in known
    }
    assert now == written, "asking again wrote reports"
    return seconds
