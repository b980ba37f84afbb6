"""`python -m tests.chaos`: parse, run, print the table."""

import argparse
import logging
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.plan import ATTEMPTS, Chaos, Outcome
from tests.chaos.run import run
from tests.chaos.service import HERE

QUICK = {"ATTNAUDIT_LEASE": "5", "ATTNAUDIT_HEARTBEAT": "1", "ATTNAUDIT_SWEEP": "1", "ATTNAUDIT_GRACE": "2"}


def table(chaos: Chaos, outcome: Outcome) -> str:
    """The outcome as README shows it."""
    states = Counter(job.state for job in outcome.jobs)
    attempts = Counter(job.attempt for job in outcome.jobs)
    blows = ", ".join(f"{kind} {count}" for kind, count in outcome.blows.most_common())
    rows = {
        "jobs accepted": f"{len(outcome.jobs)}: {chaos.audits} different audits, {chaos.duplicates} duplicates",
        "slots of a schedule, two schedulers": f"{outcome.slots}, each fired once",
        "blows": f"{outcome.blows.total()}: {blows}",
        "published, quarantined, lost": f"{states['published']}, {states['quarantined']}, 0",
        "reports": f"{outcome.reports}, {outcome.pdfs} with PDF; none torn, none twice",
        f"attempts (at most {ATTEMPTS})": ", ".join(f"{n}: {count}" for n, count in sorted(attempts.items())),
        "a first job begins after": f"{outcome.cold:.0f} s, nothing being killed",
        "killed worker's job runs again after": _seconds(outcome, "worker"),
        "killed service's jobs run again after": _seconds(outcome, "serve"),
        "killed server: consuming again after": _seconds(outcome, "server"),
        "duration": f"{outcome.seconds:.0f} s, a blow every {outcome.pause:.1f} s",
        "the whole once more": f"{outcome.rerun_new_reports} new reports, {outcome.rerun_seconds:.0f} s",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _seconds(outcome: Outcome, kind: str) -> str:
    found = sorted(outcome.back.get(kind, ()))
    return f"{found[len(found) // 2]:.0f} s, {found[-1]:.0f} s at most ({len(found)} times)" if found else "-"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=sys.modules["tests.chaos"].__doc__)
    parser.add_argument("--audits", type=int, default=300)
    parser.add_argument("--duplicates", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, help="mean seconds between blows; default: of two audits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server", choices=("valkey", "redis"), help="default: both, one after the other")
    parser.add_argument("--quick", action="store_true", help="short leases, for a short run")
    parser.add_argument("--keep", type=Path, help="a new folder to work in, which stays")
    given = parser.parse_args()
    logging.getLogger("workers").setLevel(logging.CRITICAL)  # what is killed and started again is counted
    for server in [given.server] if given.server else ["valkey", "redis"]:
        program = "" if server == "valkey" else shutil.which("redis-server")
        if program is None:
            sys.stdout.write("no redis-server here: not run with Redis\n")
            continue
        if given.keep:
            (given.keep / server).mkdir(parents=True)
            _run(given, program, given.keep / server)
        else:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                _run(given, program, Path(folder))


class _Teller:
    """A line on standard error for each fifty jobs that have ended."""

    def __init__(self, name: str) -> None:
        self._name, self._told = name, 0

    def __call__(self, ended: int) -> None:
        if ended - self._told >= 50:
            self._told = ended
            sys.stderr.write(f"{self._name}: {ended} jobs have ended\n")


def _run(given: argparse.Namespace, program: str, folder: Path) -> None:
    chaos = Chaos(
        models=HERE / ".cache" / "inputs",
        checkpoint="BERT-tiny",
        audits=given.audits,
        duplicates=given.duplicates,
        workers=given.workers,
        pause=given.pause,
        seed=given.seed,
        server=program,
        settings=QUICK if given.quick else {},
        every=10 if given.quick else 60,
    )
    name = Path(program).name if program else "embedded Valkey"
    outcome = run(chaos, folder, told=_Teller(name))
    sys.stdout.write(f"| server | {name} |\n|---|---|\n{table(chaos, outcome)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
