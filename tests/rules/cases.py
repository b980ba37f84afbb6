"""Builds the case a rule judges, from a few numbers."""

from collections.abc import Mapping
from typing import Any

from audit import policy
from audit.definitions import Case
from audit.results import Measurement, Values
from audit.results.subject import Coverage, LayerCoverage, ProbeCoverage, Subject
from audit.results.trainability import Trainability


def measured(value: Values, *, spread: float = 0.0, n: int = 32) -> Measurement:
    """A measurement whose interval reaches `spread` to either side."""
    return Measurement(value=value, low=_shift(value, -spread), high=_shift(value, spread), n=n)


def layers(*heads: int, unobserved: Mapping[int, str] | None = None) -> tuple[LayerCoverage, ...]:
    """One self-attention layer for each number of heads."""
    missed = unobserved or {}
    return tuple(
        LayerCoverage(
            index=index,
            name=f"layers.{index}",
            block=index,
            stack="decoder",
            kind="self",
            heads=count,
            kv_heads=count,
            observed=index not in missed and count > 0,
            path="eager" if index not in missed and count > 0 else None,
            reason=missed.get(index),
        )
        for index, count in enumerate(heads)
    )


def subject(**changes: Any) -> Subject:
    """A small causal model."""
    fields: dict[str, Any] = {
        "digest": "0" * 64,
        "model_type": "llama",
        "architecture": "LlamaForCausalLM",
        "task": "causal",
        "parameters": 1000,
        "blocks": 2,
        "heads": 2,
        "kv_heads": 2,
        "files": (),
    }
    return Subject(**fields | changes)


def case(
    rule: str,
    measurements: Mapping[str, Mapping[str, Measurement]],
    *,
    coverage: tuple[LayerCoverage, ...] | None = None,
    of: Subject | None = None,
    untrained: Trainability | None = None,
) -> Case:
    """A case with the default policy's thresholds for `rule`."""
    names = sorted({probe for by_probe in measurements.values() for probe in by_probe} - {"weights"})
    probes = tuple(ProbeCoverage(name=n, digest="", samples=32, documents=32, tokens=4096) for n in names)
    return Case(
        subject=of or subject(),
        coverage=Coverage(layers=coverage or layers(2, 2), skipped=(), probes=probes),
        measurements=measurements,
        thresholds=policy.load().thresholds.get(rule, {}),
        trainability=untrained,
    )


def _shift(value: Values, by: float) -> Any:
    if isinstance(value, list):
        return [_shift(item, by) for item in value]
    return None if value is None else value + by
