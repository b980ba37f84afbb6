"""A series of audits, in the order given: training steps, releases."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from audit.compare.alarms import alarms, unmeasured
from audit.compare.comparable import refuse_strangers, shared_probes
from audit.compare.comparing import SCHEMA, entry_at, side
from audit.compare.courses import courses
from audit.compare.layer_means import LayerMeans
from audit.compare.losses import recorded_loss
from audit.compare.records import FindingCourse, Step, Trend
from audit.compare.samples import Samples
from audit.errors import NotComparable, UnusableInput
from audit.results import Audit


def trend(
    folders: Sequence[Path],
    *,
    paths: Sequence[str] = (),
    moved: Sequence[float | None] = (),
    told: Sequence[str] = (),
) -> Trend:
    """What the audits in `folders` say one after the other. Raises NotComparable where that means nothing.

    `paths` are the checkpoints', where others than the audits were made from; `moved` is how far the weights went from
    the first checkpoint's, per folder, where somebody read them; `told` are remarks of whoever made the audits.
    """
    if len(folders) < 2:
        raise UnusableInput(
            f"a trend needs two audits or more, {len(folders)} given: name their folders in order"
        )
    entries = [entry_at(folder) for folder in folders]
    audits = [entry.audit for entry in entries]
    for other in audits[1:]:
        try:
            refuse_strangers(audits[0], other)
        except NotComparable as error:
            raise NotComparable(f"audits {audits[0].audit_id} and {other.audit_id}: {error}") from None
    probes = [probe for probe in shared_probes(audits[0], audits[1]) if _everywhere(probe, audits)]
    samples = [Samples(entry.folder) for entry in entries]
    found = courses(entries, samples, probes)
    if not found:
        raise NotComparable("not comparable: no metric has a number in all of the audits")
    means = LayerMeans(entries, samples, probes) if _same_layers(audits) else None
    steps = tuple(
        Step(label=label, side=side(audit), loss=recorded_loss(audit))
        for label, audit in zip(_labels(audits, paths), audits, strict=True)
    )
    return Trend(
        schema_version=SCHEMA,
        steps=steps,
        probes=tuple(probes),
        courses=found,
        methods={name: audits[-1].methods[name] for name in found if name in audits[-1].methods},
        findings=tuple(_findings(audits)),
        remarks=(*told, *_remarks(audits), *([gap] if means and (gap := unmeasured(means)) else [])),
        warnings=tuple(sorted(alarms(means, steps), key=lambda alarm: alarm.step)) if means else (),
        drifts=tuple(means.drifts()) if means else (),
        moved=tuple(moved),
    )


def _everywhere(probe: str, audits: Sequence[Audit]) -> bool:
    return all(probe in shared_probes(audits[0], other) for other in audits[1:])


def _labels(audits: Sequence[Audit], paths: Sequence[str]) -> list[str]:
    """The checkpoint's folder, which trainers name by step; with the audit's id where two are called alike."""
    known = paths or [audit.provenance.path for audit in audits]
    names = [PurePosixPath(path.replace("\\", "/")).name or "checkpoint" for path in known]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{name} {audit.audit_id[:6]}"
        for name, audit in zip(names, audits, strict=True)
    ]


def _same_layers(audits: Sequence[Audit]) -> bool:
    return len({tuple((each.stack, each.kind) for each in audit.coverage.layers) for audit in audits}) == 1


def _findings(audits: Sequence[Audit]) -> Iterator[FindingCourse]:
    """By rule and place; by rule alone where the audits do not have the same layers."""
    by_place = _same_layers(audits)
    found = [
        {
            finding.id if by_place else finding.rule: finding
            for finding in sorted(audit.findings, key=_mildest_first)
        }
        for audit in audits
    ]
    for key in dict.fromkeys(key for step in found for key in step):
        newest = [step[key] for step in found if key in step][-1]
        severities = tuple(step[key].severity if key in step else None for step in found)
        yield FindingCourse(
            rule=newest.rule,
            layer=newest.layer if by_place else None,
            head=newest.head if by_place else None,
            severities=severities,
            first=next(index for index, severity in enumerate(severities) if severity),
            statement=newest.statement,
        )


def _mildest_first(finding: object) -> int:
    return ("info", "watch", "fail").index(getattr(finding, "severity", "info"))


def _remarks(audits: Sequence[Audit]) -> Iterator[str]:
    if not _same_layers(audits):
        yield (
            "the audits do not have the same layers: means are over other layers, findings go by rule and not by place, "
            "and nothing is warned of"
        )
    for what, values in (
        ("policy", [audit.policy.digest[:8] for audit in audits]),
        ("precision", [audit.provenance.dtype for audit in audits]),
        ("architecture", [audit.subject.architecture for audit in audits]),
    ):
        if len(set(values)) > 1:
            yield f"not of one {what}: {', '.join(values)}"
