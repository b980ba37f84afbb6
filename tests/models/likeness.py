"""Compares what is measured of a model in the way its survey chose with what its own code shows."""

from dataclasses import replace

import numpy as np
from transformers import PreTrainedModel

from audit import catalog
from audit.definitions import Metric
from audit.measure import Recorder
from audit.models.coverage import survey
from audit.models.observing import observe
from audit.observations import Batch

SIDES = {"sigma_1", "sigma_2", "spectral_gap", "stable_rank", "attention_rank"}


def assert_like_eager(model: PreTrainedModel, batch: Batch, *, path: str) -> None:
    """Per sample and head: entropies and masses within 1e-4 or 5e-6, spectra within 1e-3 of the layer's largest."""
    chosen = survey(model)
    assert {layer.path for layer in chosen} == {path}
    eager = tuple(replace(layer, path="eager") for layer in chosen)
    metrics = [
        m
        for m in catalog.metrics().values()
        if isinstance(m, Metric) and m.observes in ("attention", "residual")
    ]
    found, expected = (Recorder(metrics, layers, len(batch.samples)) for layers in (chosen, eager))
    for recorder, layers in ((found, chosen), (expected, eager)):
        recorder.begin(batch)
        observe(model, batch, recorder, layers=layers)

    for metric in metrics:
        one, other = found.values[metric.name], expected.values[metric.name]
        within = 1e-3 if metric.spectral or metric.name in SIDES else 1e-4
        size = np.nanmax(np.abs(other), initial=0.0) if metric.spectral else 0.0
        np.testing.assert_allclose(
            one, other, rtol=within, atol=max(5e-6, 1e-3 * size), equal_nan=True, err_msg=metric.name
        )
