"""From a depth and a user's options to a checked plan: which probes are fed and which metrics are measured."""

import dataclasses
from collections.abc import Mapping, Sequence

from audit import catalog
from audit.checkpoint.opening import Checkpoint
from audit.definitions import Probe, Quantity
from audit.errors import UnusableInput
from audit.identity import digest_of
from audit.probes.files import looks_like_file, read_probe_file
from audit.results import Plan

_OUTSIDE = {"threads", "allow_pickle", "show_text", "confirm"}  # change what is said, not what is measured


def probes(plan: Plan) -> tuple[Probe, ...]:
    """The probes to feed: those named, or those that belong to the depth."""
    if not plan.probes:
        return tuple(probe for probe in catalog.probes().values() if plan.depth in probe.depths)
    known = catalog.probes()
    named = tuple(
        read_probe_file(name)
        if looks_like_file(name)
        else next(iter(catalog.chosen("probe", (name,), known).values()))
        for name in dict.fromkeys(plan.probes)
    )
    names = [probe.name for probe in named]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UnusableInput(
            f"two probe files are called {min(twice)!r}: rename one, the report tells them by name"
        )
    return named


def metrics(plan: Plan) -> tuple[Quantity, ...]:
    """The metrics to measure: those named, or those that belong to the depth."""
    if plan.metrics:
        return tuple(catalog.chosen("metric", plan.metrics, catalog.metrics()).values())
    return tuple(metric for metric in catalog.metrics().values() if plan.depth in metric.depths)


def record(plan: Plan, fed: Sequence[Probe]) -> dict[str, object]:
    """`plan` as plain JSON values, probes by name: a path is provenance and says nothing about what was measured."""
    fields = dataclasses.asdict(plan) | {
        "probes": [probe.name for probe in fed],
        "metrics": list(plan.metrics),
    }
    return {key: value for key, value in fields.items() if key not in _OUTSIDE}


def measurement_id(
    checkpoint: Checkpoint,
    plan: Plan,
    fed: Sequence[Probe],
    measured: Sequence[Quantity],
    *,
    engine: Mapping[str, str],
) -> str:
    """Digest of everything that decides a number: files, texts, sampling, metrics, precision, versions.

    The batch size is not in it: its effect is bounded by the contract (1e-4 relative in float32, same findings).
    """
    sampling = {key: value for key, value in record(plan, fed).items() if key not in {"batch_size", "probes"}}
    sampling["device"] = plan.device.partition(":")[0]  # which of several alike decides no number
    # Named probes are fed or refused, those of the depth give way to random tokens; own texts are shown or withheld.
    sampling |= {"named": bool(plan.probes), "shown": plan.show_text and any(probe.private for probe in fed)}
    adapter = checkpoint.adapter.digest if checkpoint.adapter else None
    texts = [digest_of([[document.id, document.text] for document in probe.documents()]) for probe in fed]
    names = [metric.name for metric in measured]
    return digest_of([checkpoint.digest, adapter, texts, sampling, names, dict(engine)])
