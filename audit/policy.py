"""Thresholds, severities and requirements: what turns measurements into a verdict."""

import datetime as dt
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from audit.errors import UnusableInput, unknown_name
from audit.identity import digest_of
from audit.results import Check, Finding, PolicyRecord, Severity, Verdict

_KEYS = {"name", "required", "severity", "thresholds", "waivers"}
_SEVERITIES = ("info", "watch", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is demanded of a checkpoint; values absent from a user's file are inherited from `default`."""

    name: str
    required: tuple[str, ...]
    severity: dict[str, Severity]
    thresholds: dict[str, dict[str, float]]
    waivers: tuple[dict[str, Any], ...] = ()

    def record(self, today: dt.date) -> PolicyRecord:
        """What the audit keeps of this policy, each waiver marked in force or not on `today`."""
        waivers = tuple({**waiver, "in_force": _in_force(waiver, today)} for waiver in self.waivers)
        content = [self.name, self.required, self.severity, self.thresholds, self.waivers]
        return PolicyRecord(name=self.name, digest=digest_of(content), waivers=waivers)


def load(name_or_file: str | Path | None = None) -> Policy:
    """The policy in a TOML file, or the shipped one of that name (`default` when None)."""
    inherited = _read_shipped("default")
    if name_or_file is None or str(name_or_file) == "default":
        return _policy(inherited)
    given = Path(name_or_file)
    if given.suffix == ".toml" or given.exists():
        own = _parse(_text_of(given), where=str(given))
    elif str(name_or_file) in shipped():
        own = _read_shipped(str(name_or_file))
    else:
        raise unknown_name("policy", str(name_or_file), shipped())
    return _policy(_merged(inherited, own, where=str(name_or_file)))


def shipped() -> list[str]:
    """Names of the policies in the package."""
    folder = resources.files("audit") / "policies"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def waived(finding: Finding, record: PolicyRecord) -> bool:
    """Whether a waiver in force covers `finding`."""
    return any(
        waiver["in_force"]
        and waiver["rule"] == finding.rule
        and waiver.get("where", finding.id) == finding.id
        for waiver in record.waivers
    )


def verdict(
    findings: Sequence[Finding], checks: Sequence[Check], policy: Policy, record: PolicyRecord
) -> Verdict:
    """The worst of the findings that no waiver covers; inconclusive where a required rule was not measured."""
    severities = {finding.severity for finding in findings if not waived(finding, record)}
    if "fail" in severities:
        return "fail"
    missing = {check.rule for check in checks if check.outcome == "not_measured"}
    if missing & set(policy.required):
        return "inconclusive"
    return "watch" if "watch" in severities else "pass"


def _in_force(waiver: dict[str, Any], today: dt.date) -> bool:
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
    for table in ("severity", "thresholds"):
        own_table = own.get(table, {})
        if not isinstance(own_table, dict):
            raise UnusableInput(f"policy {where!r}: [{table}] must be a table")
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
    _refuse_unusable_thresholds(merged, base, where)
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


def _refuse_unusable_words(merged: dict[str, Any], base: dict[str, Any], where: str) -> None:
    for rule, severity in merged["severity"].items():
        if severity not in _SEVERITIES:
            raise UnusableInput(
                f"policy {where!r}: severity of {rule} is {severity!r}; use info, watch or fail"
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
        missing = {"rule", "owner", "reason"} - set(waiver)
        if missing:
            raise UnusableInput(f"policy {where!r}: a waiver lacks {', '.join(sorted(missing))}")
        if waiver["rule"] not in base["severity"]:
            raise unknown_name(
                f"rule of a waiver in policy {where!r}:", str(waiver["rule"]), sorted(base["severity"])
            )
        try:
            _in_force(waiver, dt.date.min)
        except ValueError:
            raise UnusableInput(
                f"policy {where!r}: a waiver expires {str(waiver['expires'])!r}; give a date such as 2027-01-31"
            ) from None


def _policy(content: dict[str, Any]) -> Policy:
    thresholds = {r: {k: float(v) for k, v in t.items()} for r, t in content["thresholds"].items()}
    waivers = tuple({k: str(v) for k, v in waiver.items()} for waiver in content.get("waivers", []))
    return Policy(
        name=str(content["name"]),
        required=tuple(content.get("required", ())),
        severity=cast("dict[str, Severity]", dict(content["severity"])),
        thresholds=thresholds,
        waivers=waivers,
    )
