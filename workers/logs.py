"""The service's log: one line a record, plain or JSON, and never a password."""

import datetime as dt
import logging
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from workers.settings import Settings

_EXTRAS: Final = ("job", "outcome", "seconds", "worker", "schedule", "slot")
_QUIET: Final[Mapping[str, int]] = MappingProxyType(
    {
        "celery.worker.strategy": logging.WARNING,  # every hint would be two lines
        "celery.app.trace": logging.WARNING,
        "kombu": logging.WARNING,
        "amqp": logging.WARNING,
        "py.warnings": logging.ERROR,  # every reconnection warns of a default that we set
    }
)


def configure(settings: Settings) -> None:
    """Log to standard error from here on, in the format of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    shown = _json if settings.log_format == "json" else _plain
    handler.setFormatter(_Formatter(shown, _password(settings.redis_url)))
    logging.disable(logging.NOTSET)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


class _Formatter(logging.Formatter):
    def __init__(self, shown: Callable[[logging.LogRecord, str], str], secret: str) -> None:
        super().__init__()
        self._shown, self._secret = shown, secret

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        for secret in {self._secret, unquote(self._secret)} - {""}:
            text = text.replace(secret, "***")  # before anything in it is escaped
        return self._shown(record, text)


def _plain(record: logging.LogRecord, text: str) -> str:
    return f"{_moment(record)} {record.levelname.lower():7} {' '.join(text.split())}"


def _json(record: logging.LogRecord, text: str) -> str:
    extras = {name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)}
    fields = {"time": _moment(record), "level": record.levelname.lower(), "logger": record.name}
    return msgspec.json.encode({**fields, "message": text, **extras}).decode()


def _moment(record: logging.LogRecord) -> str:
    return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")


def _password(url: str) -> str:
    return urlsplit(url).password or ""
