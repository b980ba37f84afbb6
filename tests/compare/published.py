"""Synthetic audits as the store publishes them, with the samples their means are made of."""

import dataclasses
from pathlib import Path

import numpy as np

from audit import store
from audit.measure import Table
from audit.results import Audit
from tests.report.example import example_audit

METRICS = {"attention_entropy": "head", "block_influence": "layer"}


def samples(layers: int, heads: int, *, count: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """Per-sample values of a metric of heads and of one of layers; each cell has a level of its own."""
    chance = np.random.default_rng(seed)
    shapes = {"attention_entropy": (layers, heads), "block_influence": (layers,)}
    return {
        name: 0.2 + 0.6 * chance.random(shape) + 0.05 * chance.standard_normal((count, *shape))
        for name, shape in shapes.items()
    }


def publish(folder: Path, values: dict[str, np.ndarray], audit: Audit | None = None, **changes) -> Path:
    """A published audit with those samples on prose."""
    layers = values["attention_entropy"].shape[1]
    audit = audit or example_audit(layers=layers, heads=values["attention_entropy"].shape[2])
    measurements = {
        name: {
            "prose": dataclasses.replace(
                audit.measurements[name]["prose"], value=array.mean(0).tolist(), low=None, high=None
            )
        }
        for name, array in values.items()
    }
    audit = dataclasses.replace(audit, **({"measurements": measurements, "exhibits": ()} | changes))
    folder.mkdir(parents=True)
    with Table(folder / store.MEASUREMENTS) as table:
        table.write("prose", values)
    store.write_audit(audit, folder)
    store.write_manifest(folder)
    return folder
