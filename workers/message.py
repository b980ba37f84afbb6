"""The job message: JSON that any client may send, held to its schema and to limits before anything is done."""

import dataclasses
import re
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from audit import limits
from audit import policy as policies
from audit.errors import UnusableInput, unknown_name
from audit.identity import digest_of
from audit.results import Plan

SCHEMA: Final = 1
LARGEST: Final = 16_384  # bytes; a plan is a few hundred, so what is larger is a mistake or an attack
_LONGEST: Final = {"checkpoint": 1_024, "adapter": 1_024, "policy": 256, "requested_by": 200}
_LOWEST, _HIGHEST = 0, 9
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One audit to make; paths are relative to the model root."""

    checkpoint: str
    plan: Plan = dataclasses.field(default_factory=Plan)
    requested_by: str = ""
    priority: int = 5  # 9 goes first
    policy: str | None = None  # name of a shipped one, or a .toml below the model root
    adapter: str | None = None
    pdf: bool = True
    force: bool = False
    helps: str | None = None  # id of the job whose steps it helps to make, publishing nothing
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """Digest of what is asked for; two jobs with the same key would do the same work."""
        return digest_of([self.checkpoint, dataclasses.asdict(self.plan), self.policy, self.adapter])


_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Message))
_PLAN_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Plan))


def usable_id(job_id: object) -> bool:
    """Whether that can be a job's id: it becomes part of a folder's name."""
    return isinstance(job_id, str) and _ID.fullmatch(job_id) is not None


def parsed(content: Any) -> Message:
    """The message in decoded JSON; UnusableInput says which part is wrong."""
    if not isinstance(content, dict) or not isinstance(content.get("plan", {}), dict):
        raise UnusableInput("a job message is a JSON object and its plan another")
    if content.get("schema") != SCHEMA:
        raise UnusableInput(f"job message has schema {content.get('schema')!r}; this service reads {SCHEMA}")
    _known(content, _FIELDS, "key in a job message:")
    _known(content.get("plan", {}), _PLAN_FIELDS, "key in a job's plan:")
    try:
        message = msgspec.convert(content, Message)
    except msgspec.ValidationError as error:
        raise UnusableInput(f"job message: {error}") from None
    return checked(message)


def decoded(text: str | bytes) -> Message:
    """The message in JSON text, once it is short enough."""
    if len(text) > LARGEST:
        raise UnusableInput(f"job message of {len(text)} bytes; at most {LARGEST} are read")
    try:
        return parsed(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise UnusableInput(f"job message is not JSON: {error}") from None


def encoded(message: Message) -> str:
    """The message as JSON text; UnusableInput where it is too long to be accepted."""
    text = msgspec.json.encode(message).decode()
    if len(text) > LARGEST:
        raise UnusableInput(f"job message of {len(text)} bytes; at most {LARGEST} are accepted")
    return text


def checked(message: Message) -> Message:
    """`message` itself, once its names and numbers are inside their limits."""
    for name, longest in _LONGEST.items():
        if len(getattr(message, name) or "") > longest:
            raise UnusableInput(f"{name} is longer than {longest} characters")
    if not _LOWEST <= message.priority <= _HIGHEST:
        raise UnusableInput(f"priority {message.priority} is outside {_LOWEST}..{_HIGHEST} (9 goes first)")
    if not message.requested_by.isprintable():
        raise UnusableInput(f"requested_by {message.requested_by!r} holds what cannot be printed")
    if message.helps is not None and not usable_id(message.helps):
        raise UnusableInput(f"helps {message.helps[:80]!r} cannot be a job's id")
    limits.checked(message.plan)
    below_root(message.checkpoint, "checkpoint")
    if message.adapter is not None:
        below_root(message.adapter, "adapter")
    for probe in message.plan.probes:
        below_root(probe, "probe")
    if message.policy is not None and message.policy not in policies.shipped():
        if not message.policy.endswith(".toml"):
            raise unknown_name("policy", message.policy, policies.shipped())
        below_root(message.policy, "policy")
    return message


def below_root(name: str, what: str) -> PurePosixPath:
    """`name` as a relative path; UnusableInput where it is empty, absolute, holds `..` or a control character."""
    path = PurePosixPath(name)
    bad = not name.strip() or path.is_absolute() or ".." in path.parts or not name.isprintable()
    if bad or name.startswith("~") or "\\" in name:
        raise UnusableInput(f"{what} {name!r} must be a path relative to the model root, without '..'")
    return path


def _known(content: dict[str, Any], known: frozenset[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise unknown_name(where, str(key)[:80], sorted(known))
