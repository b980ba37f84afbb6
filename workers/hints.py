"""Sends the hint that there is work; losing one costs seconds, never a job."""

import logging
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError

from workers.app import WORK

ENOUGH: Final = 64  # queued jobs; beyond, the workers that are awake will come to all of them
_RETRY: Final = {"max_retries": 2, "interval_start": 0.05, "interval_step": 0.2}
_LOG = logging.getLogger(__name__)


def hint(app: Celery) -> None:
    """Tell an idle worker that there is work; a hint that cannot be sent is made up for by the sweeper."""
    try:
        app.send_task(WORK, ignore_result=True, retry_policy=_RETRY)
    except (OperationalError, OSError) as error:
        _LOG.warning("no hint could be sent, a worker will look by itself: %s", error)
