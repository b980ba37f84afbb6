"""The ledger's transitions as Lua scripts: each runs whole or not at all."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

from redis import Redis

_NAMES = (
    "accept",
    "refuse",
    "claim",
    "renew",
    "grant",
    "finish",
    "died",
    "release",
    "cancel",
    "expired",
    "expire",
    "page",
    "forget",
    "figures",
    "gather",
    "gathered",
)


def registered(redis: "Redis") -> Mapping[str, Any]:
    """Each script by name, to be called with `keys=[namespace]` and `args=[...]`."""
    return MappingProxyType({name: redis.register_script(_source(name)) for name in _NAMES})


def _source(name: str) -> str:
    return f"{_text('common')}\n{_text(name)}"


def _text(name: str) -> str:
    return (resources.files("workers.ledger") / f"{name}.lua").read_text("utf-8")
