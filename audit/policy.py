"""Thresholds, severities, requirements and waivers: what a checkpoint is held to, from TOML."""

import datetime as dt
import math
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

from audit.errors import UnusableInput, unknown_name
from audit.identity import digest_of
from audit.results import PolicyRecord, Severity

DEFAULT: Final = "default"
_KEYS: Final = {
    "name",
    "inherits",
    "classification",
    "required",
    "coverage",
    "severity",
    "thresholds",
    "waivers",
}
LONGEST_MARKING: Final = 60  # characters: it stands in the margin of every page
_SEVERITIES: Final = ("info", "watch", "fail")
_WAIVER: Final = {"rule", "where", "owner", "reason", "expires"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageDemand:
    """What must have been looked at for a verdict."""

    probes: tuple[str, ...] = ()  # that must have been fed
    documents: int = 0  # independent texts, at least, of each probe of texts
    layers: float = 0.0  # share of the softmax attention layers that must have been observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is demanded of a checkpoint; what a file does not say is inherited from a shipped policy."""

    name: str
    inherits: str | None  # None for `default` alone
    required: tuple[str, ...]  # rules that must have been measured
    coverage: CoverageDemand
    severity: dict[str, Severity]
    thresholds: dict[str, dict[str, float]]
    waivers: tuple[dict[str, Any], ...] = ()
    classification: str | None = None  # who may read the reports; printed on every page

    def record(self, today: dt.date) -> PolicyRecord:
        """What the audit keeps of this policy, each waiver marked in force or not on `today`."""
        waivers = tuple({**waiver, "in_force": in_force(waiver, today)} for waiver in self.waivers)
        demanded = [self.required, asdict(self.coverage)]
        content = [self.name, demanded, self.severity, self.thresholds, self.waivers]
        marked = [*content, self.classification] if self.classification else content
        return PolicyRecord(
            name=self.name, digest=digest_of(marked), waivers=waivers, classification=self.classification
        )


def load(name_or_file: str | Path | None = None) -> Policy:
    """The policy in a TOML file, or the shipped one of that name (`default` when None)."""
    return _policy(_content(str(name_or_file or DEFAULT)))


def _content(given: str) -> dict[str, Any]:
    """The policy's tables with all that they inherit filled in."""
    if given == DEFAULT:
        return _read_shipped(DEFAULT)
    path = Path(given)
    if path.suffix == ".toml" or path.exists():
        own = _parse(_text_of(path), where=given)
    elif given in shipped():
        own = _read_shipped(given)
    else:
        raise unknown_name("policy", given, shipped())
    base = own.setdefault("inherits", DEFAULT)
    if base not in shipped():
        raise unknown_name(f"policy to inherit from in {given!r}:", str(base), shipped())
    return _merged(_content(base), own, where=given)


def shipped() -> list[str]:
    """Names of the policies in the package."""
    folder = resources.files("audit") / "policies"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def in_force(waiver: dict[str, Any], today: dt.date) -> bool:
    """Whether the waiver holds on `today`, its last day included."""
    return "expires" not in waiver or dt.date.fromisoformat(str(waiver["expires"])) >= today


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"policy {str(path)!r} cannot be read: {error}; give a UTF-8 TOML file") from None


def _read_shipped(name: str) -> dict[str, Any]:
    return _parse((resources.files("audit") / "policies" / f"{name}.toml").read_text("utf-8"), where=name)


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnusableInput(f"policy {where!r} is not TOML: {error}") from None
    for key in content:
        if key not in _KEYS:
            raise unknown_name(f"key in policy {where!r}:", key, sorted(_KEYS))
    return content


def _merged(base: dict[str, Any], own: dict[str, Any], where: str) -> dict[str, Any]:
    merged = {**base, "name": Path(where).stem, **own}
    for table in ("severity", "thresholds", "coverage"):
        own_table = own.get(table, {})
        if not isinstance(own_table, dict):
            raise UnusableInput(f"policy {where!r}: [{table}] must be a table")
        if table == "coverage":
            continue
        for rule in own_table:
            if rule not in base["severity"]:
                raise unknown_name(f"rule in [{table}] of policy {where!r}:", rule, sorted(base["severity"]))
            if table == "thresholds" and not isinstance(own_table[rule], dict):
                raise UnusableInput(f"policy {where!r}: [thresholds.{rule}] must be a table")
    merged["severity"] = {**base["severity"], **own.get("severity", {})}
    merged["thresholds"] = {
        rule: {**base["thresholds"].get(rule, {}), **own.get("thresholds", {}).get(rule, {})}
        for rule in sorted({*base["thresholds"], *own.get("thresholds", {})})
    }
    merged["coverage"] = {**base.get("coverage", {}), **own.get("coverage", {})}
    _refuse_unusable_thresholds(merged, base, where)
    _refuse_unusable_coverage(merged["coverage"], where)
    _refuse_unusable_words(merged, base, where)
    return merged


def _refuse_unusable_thresholds(merged: dict[str, Any], base: dict[str, Any], where: str) -> None:
    for rule, table in merged["thresholds"].items():
        for key, value in table.items():
            if key not in base["thresholds"].get(rule, {}):
                known = list(base["thresholds"].get(rule, {}))
                raise unknown_name(f"threshold of {rule} in policy {where!r}:", key, known)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UnusableInput(f"policy {where!r}: threshold {rule}.{key} is {value!r}, not a number")


def _refuse_unusable_coverage(demanded: dict[str, Any], where: str) -> None:
    known = list(CoverageDemand.__dataclass_fields__)
    for key, value in demanded.items():
        if key not in known:
            raise unknown_name(f"key in [coverage] of policy {where!r}:", key, known)
        if key == "probes":
            if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                raise UnusableInput(f"policy {where!r}: coverage.probes must be a list of names of probes")
        elif isinstance(value, bool) or not isinstance(value, int if key == "documents" else int | float):
            raise UnusableInput(f"policy {where!r}: coverage.{key} is {value!r}, not a number")
    if not 0 <= demanded.get("layers", 0) <= 1:
        raise UnusableInput(
            f"policy {where!r}: coverage.layers is {demanded['layers']!r}; give a share between 0 and 1"
        )


def _refuse_unusable_words(merged: dict[str, Any], base: dict[str, Any], where: str) -> None:
    for rule, severity in merged["severity"].items():
        if severity not in _SEVERITIES:
            raise UnusableInput(
                f"policy {where!r}: severity of {rule} is {severity!r}; use info, watch or fail"
            )
    marking = merged.get("classification", "")
    if not isinstance(marking, str) or len(marking) > LONGEST_MARKING or not marking.isprintable():
        raise UnusableInput(
            f"policy {where!r}: classification must be one line of at most {LONGEST_MARKING} printable characters"
        )
    for key, kind in (("required", str), ("waivers", dict)):
        values = merged.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            what = "names of rules" if kind is str else "tables"
            raise UnusableInput(f"policy {where!r}: {key} must be a list of {what}")
    for rule in merged.get("required", []):
        if rule not in base["severity"]:
            raise unknown_name(f"required rule in policy {where!r}:", rule, sorted(base["severity"]))
    _refuse_unusable_waivers(merged.get("waivers", []), base, where)


def _refuse_unusable_waivers(waivers: list[dict[str, Any]], base: dict[str, Any], where: str) -> None:
    for waiver in waivers:
        missing = {"rule", "owner", "reason"} - {key for key, value in waiver.items() if str(value).strip()}
        if missing:
            raise UnusableInput(f"policy {where!r}: a waiver lacks {', '.join(sorted(missing))}")
        for key in waiver:
            if key not in _WAIVER:
                raise unknown_name(f"key of a waiver in policy {where!r}:", key, sorted(_WAIVER))
        if waiver["rule"] not in base["severity"]:
            raise unknown_name(
                f"rule of a waiver in policy {where!r}:", str(waiver["rule"]), sorted(base["severity"])
            )
        try:
            in_force(waiver, dt.date.min)
        except ValueError:
            raise UnusableInput(
                f"policy {where!r}: a waiver expires {str(waiver['expires'])!r}; give a date such as 2027-01-31"
            ) from None


def _policy(content: dict[str, Any]) -> Policy:
    thresholds = {r: {k: float(v) for k, v in t.items()} for r, t in content["thresholds"].items()}
    waivers = tuple({k: str(v) for k, v in waiver.items()} for waiver in content.get("waivers", []))
    coverage = content.get("coverage", {})
    return Policy(
        name=str(content["name"]),
        inherits=content.get("inherits"),
        required=tuple(content.get("required", ())),
        coverage=CoverageDemand(**{**coverage, "probes": tuple(coverage.get("probes", ()))}),
        severity=cast("dict[str, Severity]", dict(content["severity"])),
        thresholds=thresholds,
        waivers=waivers,
        classification=content.get("classification", "").strip() or None,
    )
