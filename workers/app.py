"""The Celery application: how hints and submissions travel; what is true stands in the ledger."""

from typing import Any, Final

from celery import Celery
from kombu import Exchange, Queue

from workers.connections import for_celery, tls_for_celery
from workers.settings import Settings

SUBMIT: Final = "attnaudit.submit"  # the documented task: any Celery client may send it
WORK: Final = "attnaudit.work"  # a hint that there is work; says nothing about which
_HOUR: Final = 3_600


def make_app(settings: Settings) -> Celery:
    """A Celery application for these settings; nothing is connected yet."""
    app = Celery("attnaudit", broker=for_celery(settings.redis_url), set_as_current=False)
    app.conf.update(_configuration(settings))
    return app


def submissions(settings: Settings) -> Queue:
    """The queue that the documented message is sent to."""
    return _queue(settings.namespace)


def hints(settings: Settings) -> Queue:
    """The queue of hints."""
    return _queue(f"{settings.namespace}.work")


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def _configuration(settings: Settings) -> dict[str, Any]:
    # a hint is unacknowledged for one stretch of work, which ends one audit after the first time limit
    visibility = 2 * settings.time_limit + settings.grace + _HOUR
    transport = {
        "visibility_timeout": visibility,  # above the hard limit: Redis redelivers by the clock, not by liveness
        "health_check_interval": 10,  # a worker must not stay deaf after the server restarts
        "socket_timeout": 30,
        "socket_connect_timeout": 10,
        "socket_keepalive": not settings.redis_url.startswith("unix"),
        "retry_on_timeout": True,
    }
    return {
        "broker_transport_options": transport,
        "result_backend_transport_options": {
            "visibility_timeout": visibility
        },  # all three: the shortest wins
        "visibility_timeout": visibility,
        "broker_use_ssl": tls_for_celery(settings.redis_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # for ever: a server may be away for longer than any count
        "task_acks_late": True,  # a hint outlives the worker that took it
        "task_reject_on_worker_lost": False,  # the ledger finds lost work; a requeued hint would loop
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,  # a busy worker holds no hint that an idle one could follow
        "worker_concurrency": 1,  # one worker, one audit; more workers for more
        "worker_pool": "threads",  # the thread only watches: audits run in a process of their own
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the lease decides, not the connection
        "worker_soft_shutdown_timeout": settings.grace,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_default_queue": settings.namespace,
        "task_queues": (hints(settings),),
        "task_ignore_result": True,  # the ledger is where results are asked for
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],  # a message is data; never pickle
        "enable_utc": True,
        "timezone": "UTC",
        "worker_send_task_events": True,  # Flower
        "task_send_sent_event": True,
        "task_routes": {
            SUBMIT: {"queue": submissions(settings)},
            WORK: {"queue": hints(settings)},
        },
    }
