"""Whether two audits can be compared at all: the same texts, sampled alike, measured by the same metrics."""

from audit.errors import NotComparable
from audit.results import Audit

_SAMPLING = ("samples", "max_length", "seed", "chat")


def refuse_strangers(before: Audit, after: Audit) -> None:
    """Raise NotComparable, with the reason, unless the two share sampling, a probe and a metric."""
    for option in _SAMPLING:
        one, other = before.plan.get(option), after.plan.get(option)
        if one != other:
            raise NotComparable(
                f"not comparable: sampled differently ({option} {one!r} before, {other!r} after); "
                "audit one of them again with the options of the other"
            )
    if not shared_probes(before, after):
        raise NotComparable(
            f"not comparable: no text was fed to both ({_fed(before)} before, {_fed(after)} after"
            f"{_unlike(before, after)}); audit one of them again with the probes of the other"
        )
    if not before.measurements.keys() & after.measurements.keys():
        raise NotComparable("not comparable: no metric was measured in both; name the same with --metric")


def shared_probes(before: Audit, after: Audit) -> tuple[str, ...]:
    """Names of the probes that fed both models the same texts, in the same windows."""
    theirs = {probe.name: probe for probe in after.coverage.probes}
    return tuple(
        probe.name
        for probe in before.coverage.probes
        if probe.name in theirs
        and (probe.digest, probe.samples, probe.tokens)
        == (theirs[probe.name].digest, theirs[probe.name].samples, theirs[probe.name].tokens)
    )


def _fed(audit: Audit) -> str:
    return ", ".join(probe.name for probe in audit.coverage.probes) or "nothing"


def _unlike(before: Audit, after: Audit) -> str:
    """Why a probe of the same name does not count."""
    theirs = {probe.name: probe for probe in after.coverage.probes}
    for probe in before.coverage.probes:
        other = theirs.get(probe.name)
        if other and other.digest != probe.digest:
            return f"; {probe.name!r} holds other texts"
        if other:
            return f"; {probe.name!r} became other windows, {probe.tokens} and {other.tokens} tokens: another tokenizer?"
    return ""
