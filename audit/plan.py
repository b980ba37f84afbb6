"""From a depth and a user's options to a checked plan: which probes are fed and which metrics are measured."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from audit import catalog
from audit.checkpoint.opening import Checkpoint
from audit.definitions import PairProbe, Probe, Quantity
from audit.errors import UnusableInput, unknown_name
from audit.identity import digest_of
from audit.models.streaming import streams
from audit.probes.files import looks_like_file, read_probe_file
from audit.probes.pair_files import holds_pairs, read_pairs
from audit.probes.published import kind_of, read_published
from audit.probes.published.items import PublishedProbe
from audit.results import Plan

Fed = Probe | PairProbe | PublishedProbe

_OUTSIDE = {
    "threads",
    "max_memory",
    "allow_pickle",
    "show_text",
    "confirm",
}  # change what is said, not what is measured


def probes(plan: Plan) -> tuple[Probe, ...]:
    """The probes to feed: those named, or those that belong to the depth; demographic pairs come beside the latter."""
    known = catalog.probes()
    names = [name for name in dict.fromkeys(plan.probes) if not _names_pairs(name) and not kind_of(name)]
    if not names:
        return tuple(probe for probe in known.values() if plan.depth in probe.depths)
    named = tuple(
        read_probe_file(name) if looks_like_file(name) else _named(name, {**known, **catalog.pairs()})
        for name in names
    )
    _refuse_twins([probe.name for probe in named])
    return named


def pairs(plan: Plan) -> tuple[PairProbe, ...]:
    """The demographic probes to feed: those named, or where nothing is named those that belong to the depth."""
    known = catalog.pairs()
    if not plan.probes:
        return tuple(probe for probe in known.values() if plan.depth in probe.depths)
    names = [name for name in dict.fromkeys(plan.probes) if _names_pairs(name)]
    named = tuple(known[name] if name in known else read_pairs(name) for name in names)
    _refuse_twins([probe.name for probe in named])
    return named


def published(plan: Plan) -> tuple[PublishedProbe, ...]:
    """The published data sets to score: those named."""
    named = tuple(read_published(name) for name in dict.fromkeys(plan.probes) if kind_of(name))
    _refuse_twins([probe.name for probe in named])
    return named


def _names_pairs(name: str) -> bool:
    if kind_of(name):
        return False
    return name in catalog.pairs() or (looks_like_file(name) and holds_pairs(name))


def _named(name: str, known: Mapping[str, Probe | PairProbe]) -> Probe:
    found = known.get(name)
    if not isinstance(found, Probe):
        raise unknown_name("probe", name, list(known))
    return found


def _refuse_twins(names: Sequence[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise UnusableInput(
            f"two probe files are called {min(twice)!r}: rename one, the report tells them by name"
        )


def metrics(plan: Plan) -> tuple[Quantity, ...]:
    """The metrics to measure: those named, or those that belong to the depth."""
    if plan.metrics:
        return tuple(catalog.chosen("metric", plan.metrics, catalog.metrics()).values())
    return tuple(metric for metric in catalog.metrics().values() if plan.depth in metric.depths)


def record(plan: Plan, fed: Sequence[Fed]) -> dict[str, object]:
    """`plan` as plain JSON values, probes by name: a path is provenance and says nothing about what was measured."""
    fields = dataclasses.asdict(plan) | {
        "probes": [probe.name for probe in fed],
        "metrics": list(plan.metrics),
    }
    return {key: value for key, value in fields.items() if key not in _OUTSIDE}


def measurement_id(
    checkpoint: Checkpoint,
    plan: Plan,
    fed: Sequence[Fed],
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
    if plan.max_memory and streams(checkpoint, getattr(torch, plan.dtype), plan.max_memory):
        sampling["streamed"] = True  # nothing is differentiated then
    adapter = checkpoint.adapter.digest if checkpoint.adapter else None
    texts = [_content(probe) for probe in fed]
    names = [metric.name for metric in measured]
    return digest_of([checkpoint.digest, adapter, texts, sampling, names, dict(engine)])


def _content(probe: Fed) -> str:
    if isinstance(probe, PublishedProbe):
        return digest_of([probe.kind, probe.pairs, probe.triples, probe.choices, dict(probe.genders)])
    if isinstance(probe, Probe):
        return digest_of([[document.id, document.text] for document in probe.documents()])
    return digest_of(
        [
            [
                *(axis.name, axis.title, axis.groups, axis.terms, axis.templates, axis.phrase, axis.control),
                sorted(axis.rows or ()),
            ]
            for axis in probe.axes()
        ]
    )
