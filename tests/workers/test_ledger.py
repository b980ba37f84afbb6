"""The ledger: each job is in one state, each attempt is counted and fenced, and repeating a transition is harmless."""

import threading
import time

import pytest

from audit.errors import MachineFault, UnusableInput
from audit.results import Plan
from workers.jobs import Death
from workers.ledger.ledger import Ledger
from workers.message import Message

pytestmark = pytest.mark.redis
LEASE = 30.0


def message(seed=0, **options):
    return Message(checkpoint="models/tiny", plan=Plan(seed=seed), **options)


def death(claim, how="killed by signal 9 (SIGKILL)"):
    return Death(attempt=claim.attempt, how=how, stage="observe prose", peak_bytes=2**20, seconds=1.0)


def test_an_accepted_job_is_queued_once(ledger):
    """The same id twice is one job."""
    # Given a job that was accepted
    assert ledger.accept("a", message()) == ("accepted", 1)
    # When the answer is lost and the client asks again
    again = ledger.accept("a", message())
    # Then it is the same job
    assert again == ("known", 1)
    assert [job.id for job in ledger.jobs("queued")] == ["a"]
    assert ledger.job("a").state == "queued"


def test_a_full_queue_refuses_in_one_line(ledger):
    """Nothing is accepted that there is no room for."""
    ledger.accept("a", message(), limit=1)
    with pytest.raises(MachineFault, match="1 jobs are queued already"):
        ledger.accept("b", message(seed=1), limit=1)


def test_higher_priority_goes_first_then_older(ledger):
    """9 before 5 before 0; equal ones in the order of submission."""
    # Given jobs of several priorities, submitted in another order
    for name, priority in (("low", 0), ("first", 5), ("second", 5), ("high", 9)):
        ledger.accept(name, message(seed=priority + len(name), priority=priority))
    # Then both the listing and the claims follow the priorities
    expected = ["high", "first", "second", "low"]
    assert [job.id for job in ledger.jobs("queued")] == expected
    assert [ledger.claim("w", lease=LEASE).id for _ in expected] == expected


def test_an_attempt_counts_before_anything_is_opened(ledger):
    """The claim itself counts."""
    ledger.accept("a", message())
    assert ledger.claim("w", lease=LEASE).attempt == 1
    assert ledger.job("a").attempt == 1
    assert ledger.job("a").state == "running"


def test_eight_workers_never_claim_the_same_job(ledger):
    """Fifty jobs, eight threads, fifty claims."""
    # Given fifty different jobs
    for number in range(50):
        ledger.accept(str(number), message(seed=number))
    # When eight workers claim as fast as they can
    claimed = []

    def work():
        while claim := ledger.claim("w", lease=LEASE):
            claimed.append(claim.id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Then each job was claimed once
    assert sorted(claimed, key=int) == [str(number) for number in range(50)]


def test_the_same_audit_is_not_made_twice_at_once(ledger):
    """The second waits for the first and the job behind it does not."""
    # Given two jobs for the same audit and another one
    for name, seed in (("first", 1), ("twin", 1), ("other", 2)):
        ledger.accept(name, message(seed=seed))
    first = ledger.claim("w", lease=LEASE)
    # When workers look for work
    assert ledger.claim("w", lease=LEASE).id == "other"
    assert ledger.claim("w", lease=LEASE) is None
    # Then the twin starts once the first is done
    ledger.publish(first.id, first.token, audit_id="x", verdict="pass", exit_code=0)
    assert ledger.claim("w", lease=LEASE).id == "twin"


def test_only_the_current_attempt_may_publish(ledger):
    """The fence: an attempt that lost its job can neither renew, publish nor fail it."""
    # Given an attempt whose lease ran out and was given to another
    ledger.accept("a", message())
    old = ledger.claim("w1", lease=0.0)
    time.sleep(0.005)
    (lost,) = ledger.expired()
    assert ledger.expire(lost, death(old), limit=3) == "queued"
    new = ledger.claim("w2", lease=LEASE)
    # Then the old one is refused everything
    assert not ledger.grant(old, "x")
    assert ledger.renew(old, lease=LEASE, stage="", done=0, total=0, peak=0) == "lost"
    assert not ledger.publish(old.id, old.token, audit_id="x", verdict="pass", exit_code=0)
    assert not ledger.fail(old, "late", exit_code=2)
    assert ledger.died(old, death(old), limit=3) == "lost"
    # And the new one is not
    assert ledger.grant(new, "x")
    assert ledger.publish(new.id, new.token, audit_id="x", verdict="pass", exit_code=0)
    assert ledger.job("a").state == "published"


def test_a_transition_whose_answer_was_lost_can_be_repeated(ledger):
    """Grant and publish say yes to the same attempt again."""
    ledger.accept("a", message())
    claim = ledger.claim("w", lease=LEASE)
    assert ledger.grant(claim, "x")
    assert ledger.grant(claim, "x")
    for _ in range(2):
        assert ledger.publish(claim.id, claim.token, audit_id="x", verdict="pass", exit_code=0)
    assert ledger.figures().totals == {"published": 1}


def test_a_lease_that_was_renewed_meanwhile_is_not_taken(ledger):
    """The sweeper's look and its grip are two steps; the worker may speak between them."""
    # Given an expired lease that the sweeper has seen
    ledger.accept("a", message())
    claim = ledger.claim("w", lease=0.0)
    time.sleep(0.005)
    (seen,) = ledger.expired()
    # When the worker renews it
    assert ledger.renew(claim, lease=LEASE, stage="s", done=1, total=2, peak=3) == "held"
    # Then it keeps the job
    assert ledger.expire(seen, death(claim), limit=3) == "held"
    assert ledger.job("a").stage == "s"


def test_a_poison_job_is_quarantined_with_each_death(ledger):
    """After three deaths it is out of the way and says how each attempt died."""
    # Given a job that kills whoever runs it
    ledger.accept("poison", message())
    for how in ("killed by signal 9 (SIGKILL)", "memory ran out", "time ran out"):
        claim = ledger.claim("w", lease=LEASE)
        state = ledger.died(claim, death(claim, how), limit=3)
    # Then
    assert state == "quarantined"
    job = ledger.job("poison")
    assert job.state == "quarantined"
    assert job.reason == (
        "attempt 1: killed by signal 9 (SIGKILL) in stage 'observe prose' after 1 s, 1 MiB at most; "
        "attempt 2: memory ran out in stage 'observe prose' after 1 s, 1 MiB at most; "
        "attempt 3: time ran out in stage 'observe prose' after 1 s, 1 MiB at most"
    )
    assert ledger.claim("w", lease=LEASE) is None


def test_a_job_that_died_goes_behind_the_others_of_its_priority(ledger):
    """A poison checkpoint must not hold up the queue."""
    for name in ("one", "two", "three"):
        ledger.accept(name, message(seed=len(name) * 7 + ord(name[1])))
    one = ledger.claim("w", lease=LEASE)
    ledger.died(one, death(one), limit=3)
    assert [job.id for job in ledger.jobs("queued")] == ["two", "three", "one"]


def test_a_job_that_lost_its_worker_comes_before_all_others(ledger):
    """It had begun, and a killed worker is not its fault: it does not wait behind what came later, however urgent."""
    # Given a job of low priority that runs, and one that was given back
    for name in ("lost", "given back"):
        ledger.accept(name, message(seed=len(name), priority=0))
    ledger.claim("w", lease=0.0)
    returned = ledger.claim("w", lease=LEASE)
    # And an urgent one behind them
    ledger.accept("urgent", message(seed=1, priority=9))
    # When the worker is lost
    time.sleep(0.005)
    (lost,) = ledger.expired()
    ledger.expire(lost, death(returned), limit=3)
    ledger.release(returned)
    # Then
    assert [job.id for job in ledger.jobs("queued")] == ["lost", "given back", "urgent"]


def test_a_released_attempt_does_not_count(ledger):
    """Stopping a worker on purpose is no death."""
    ledger.accept("a", message())
    assert ledger.release(ledger.claim("w", lease=LEASE))
    assert ledger.job("a").state == "queued"
    assert ledger.claim("w", lease=LEASE).attempt == 1


@pytest.mark.parametrize("running", [False, True], ids=["queued", "running"])
def test_cancelling_is_final_at_once(ledger, running):
    """Also while running: the attempt learns of it at its next heartbeat and may publish nothing."""
    ledger.accept("a", message())
    claim = ledger.claim("w", lease=LEASE) if running else None
    assert ledger.cancel("a") == ("running" if running else "queued")
    assert ledger.job("a").state == "cancelled"
    assert ledger.cancel("a") == "cancelled"
    if claim:
        assert ledger.renew(claim, lease=LEASE, stage="", done=0, total=0, peak=0) == "cancelled"
        assert not ledger.grant(claim, "x")
    assert ledger.claim("w", lease=LEASE) is None


def test_what_may_publish_is_past_cancelling(ledger):
    """A job never ends cancelled with a report in the store."""
    ledger.accept("a", message())
    claim = ledger.claim("w", lease=LEASE)
    ledger.grant(claim, "x")
    assert ledger.cancel("a") == "publishing"
    assert ledger.job("a").state == "running"


def test_an_unknown_job_is_one_clear_line(ledger):
    """For looking and for cancelling alike."""
    with pytest.raises(UnusableInput, match="no job 'nope'"):
        ledger.job("nope")
    with pytest.raises(UnusableInput, match="no job 'nope'"):
        ledger.cancel("nope")


def test_a_lost_ledger_cannot_issue_a_token_again(server):
    """Attempts of before the loss are refused by the new ledger, also for a job of the same id."""
    # Given an attempt
    from workers.connections import connected

    ledger = Ledger(connected(server.url), namespace="test")
    ledger.accept("a", message())
    old = ledger.claim("w", lease=LEASE)
    # When the server loses its disk and the job is submitted and claimed again
    server.lose_everything()
    ledger.accept("a", message())
    new = ledger.claim("w", lease=LEASE)
    # Then
    assert old.token != new.token
    assert not ledger.grant(old, "x")
    assert ledger.grant(new, "x")


def test_an_accepted_job_survives_a_killed_server(server):
    """Accepted means on disk."""
    from workers.connections import connected

    ledger = Ledger(connected(server.url), namespace="test")
    for number in range(20):
        ledger.accept(str(number), message(seed=number))
    server.kill()
    server.start()
    assert ledger.depth() == 20


def test_a_slot_of_a_schedule_fires_once(ledger):
    """Whoever asks second is told so."""
    assert ledger.accept("a", message(), slot="nightly@0").outcome == "accepted"
    assert ledger.accept("b", message(), slot="nightly@0").outcome == "fired"
    assert ledger.accept("a", message(), slot="nightly@0").outcome == "known"


def test_a_refused_message_leaves_a_failed_job(ledger):
    """Its sender can ask what was wrong."""
    ledger.refuse("a", "job message is not JSON")
    job = ledger.job("a")
    assert (job.state, job.reason, job.exit_code) == ("failed", "job message is not JSON", 2)


def test_final_jobs_are_forgotten_in_time_and_others_never(ledger):
    """Retention removes what ended, not what waits."""
    ledger.accept("done", message(seed=1))
    claim = ledger.claim("w", lease=LEASE)
    ledger.accept("waits", message(seed=2))
    ledger.publish(claim.id, claim.token, audit_id="x", verdict="pass", exit_code=0)
    assert ledger.forget(older_than=60) == 0
    time.sleep(0.005)
    assert ledger.forget(older_than=0) == 1
    assert [job.id for job in ledger.jobs()] == ["waits"]


def test_figures_count_states_and_the_oldest(ledger):
    """What the operator's dashboard shows."""
    ledger.accept("a", message(seed=1))
    ledger.accept("b", message(seed=2))
    ledger.claim("w", lease=LEASE)
    time.sleep(0.02)
    figures = ledger.figures()
    assert (figures.states["queued"], figures.states["running"]) == (1, 1)
    assert 0.01 < figures.oldest < 5
