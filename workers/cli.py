"""The `attnaudit` command: the library's verbs and the service's."""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from audit.cli.main import VERBS as LIBRARY
from audit.cli.main import Verb, Verbs, execute
from audit.models.allocator import begin_anew

VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        **LIBRARY,
        "batch": Verb(
            "workers.verbs.batch:batch",
            "Audit what a manifest names, with one report over all.",
            measures=True,
        ),
        "submit": Verb("workers.verbs.submit:submit", "Queue an audit; prints the job's id."),
        "status": Verb("workers.verbs.watching:status", "Show one job."),
        "wait": Verb("workers.verbs.wait:wait", "Wait until jobs are done, with their progress."),
        "cancel": Verb("workers.verbs.watching:cancel", "Cancel jobs, also while they run."),
        "jobs": Verb("workers.verbs.watching:jobs", "List the queue's jobs."),
        "schedule": Verb("workers.verbs.schedule:schedule", "Recurring audits: apply a file, list, remove."),
        "serve": Verb("workers.verbs.serve:serve", "Run the whole service on this machine."),
        "worker": Verb(
            "workers.verbs.worker:worker", "Run one worker of a service whose Redis is elsewhere."
        ),
        "scheduler": Verb("workers.verbs.scheduler:scheduler", "Run the scheduler of such a service."),
    }
)


def main() -> None:
    """Entry point of the console script."""
    if any(VERBS[word].measures for word in sys.argv[1:] if word in VERBS):
        begin_anew()
    sys.exit(execute(Verbs(VERBS)))
