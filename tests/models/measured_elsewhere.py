"""What is measured on simulated devices, beside what is measured here.

Run as a program it prints JSON on standard output, by test and case: on which devices the model stood, and what differs.
It needs a process of its own: which devices there are PyTorch's engine looks up once, before its first backward pass.
"""

import copy
import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from audit import Audit, Plan, audit_checkpoint, catalog, limits
from audit.checkpoint.opening import open_checkpoint
from audit.measure import Recorder
from audit.models import devices
from audit.models.coverage import survey
from audit.models.devices import placed
from audit.models.gradients import Backward
from audit.models.inputs import model_inputs
from audit.models.loading import load_model
from audit.models.observing import observe
from tests import elsewhere
from tests.architectures import tiny_model
from tests.models.watching import random_batch

FAMILIES = ("llama", "bert", "gpt2", "falcon", "bloom", "gpt_neo", "gemma2", "gpt_oss", "mixtral", "zamba", "t5", "blenderbot")  # fmt: skip
CROSSED = ("llama", "bert", "t5")
METRICS = [metric for metric in catalog.metrics().values() if metric.observes != "weights"]
NOISE = {"freezing", "score_spread", "turned_sigma_1"}  # of scores that hardly differ

Values = dict[str, NDArray[np.float64]]
Told = dict[str, Any]


def model_of(family: str) -> PreTrainedModel:
    """A tiny random one."""
    return tiny_model(family).requires_grad_(requires_grad=False)


def measured(model: PreTrainedModel, *, gradients: bool = True) -> Values:
    """Every metric of two samples, one padded on either side."""
    batch, layers = random_batch(model), survey(model)
    recorder = Recorder(METRICS, layers, 2)
    recorder.begin(batch)
    observe(model, batch, recorder, layers=layers)
    for row in range(2 if gradients else 0):
        sample = batch.only(row, 13)
        recorder.begin(sample)
        fed = model_inputs(model, sample, every_logit=True)
        for observation in Backward(model, layers).observe(fed, _squared):
            recorder.on_gradient(observation)
    return recorder.values


def _squared(output: Any) -> Tensor:
    found: Tensor = output["logits"].float().square().mean()
    return found


def differing(found: Values, expected: Values) -> list[str]:
    """The metrics that are not the same."""
    return [
        name
        for name, values in expected.items()
        if not np.allclose(
            found[name], values, rtol=2e-3, atol=1e-3 if name in NOISE else 1e-4, equal_nan=True
        )
    ]


def _told(model: PreTrainedModel, values: Values, expected: Values) -> Told:
    """Where the model stands, how its layers are measured, what differs, and how many metrics have numbers at all."""
    off, found = differing(values, expected), sum(bool(np.isfinite(each).any()) for each in values.values())
    return {
        "devices": sorted({str(parameter.device) for parameter in model.parameters()}),
        "paths": sorted({str(layer.path) for layer in survey(model)}),
        "off": off,
        "found": found,
    }


def moved(family: str, device: str, *, gradients: bool = True) -> Told:
    """A model on one device, or on several where one has no room for it."""
    model = model_of(family)
    expected = measured(copy.deepcopy(model), gradients=gradients)
    model = placed(model, device)
    return _told(model, measured(model, gradients=gradients), expected)


def _spread(family: str) -> Told:
    """Blocks on two devices; without gradients, for of several simulated ones the engine knows one."""
    _leave(*half(model_of(family)))
    return moved(family, elsewhere.NAME, gradients=False)


def _audited_apart(checkpoint: Path) -> Told:
    """An audit of a model that one device has no room for."""
    _leave(*half(load_model(open_checkpoint(checkpoint)).model))
    return audited(checkpoint, elsewhere.NAME, depth="quick")


def _leave(*rooms: int) -> None:
    """So many bytes may go to weights on each device."""
    elsewhere.there().free = tuple(round(room / devices.WEIGHTS) + 1 for room in rooms)


def crossed(family: str) -> Told:
    """Blocks on the CPU and on a device, which the engine knows both."""
    model, dispatch = model_of(family), devices.dispatch_model
    expected = measured(copy.deepcopy(model))

    def mixed(model: Any, places: Mapping[str, str], **_: Any) -> Any:
        own = {name: "cpu" if place.endswith("1") else place for name, place in places.items()}
        return dispatch(model, own, main_device="cpu")

    _leave(*half(model))
    devices.dispatch_model = mixed
    try:
        model = placed(model, elsewhere.NAME)
    finally:
        devices.dispatch_model = dispatch
    return _told(model, measured(model), expected)


def half(model: PreTrainedModel) -> tuple[int, int]:
    """Bytes of all but the last half of the blocks, and bytes of the blocks that are left."""
    blocks = [devices._size(block) for _, block in devices._blocks(model)]
    left = sum(blocks[len(blocks) // 2 :])
    return devices._size(model) - left, left


def audited(checkpoint: Path, device: str, *, depth: str = "full") -> dict[str, Any]:
    """What an audit, at depth full with gradients and experiments, says otherwise there, and where it says it ran."""
    plan = Plan(depth=depth, probes=("prose",), samples=2, max_length=32)
    with tempfile.TemporaryDirectory() as folder:
        here, there = (
            audit_checkpoint(
                checkpoint, dataclasses.replace(plan, device=name), store=Path(folder), pdf=False
            )
            for name in ("cpu", device)
        )
    assert there.audit_id != here.audit_id
    assert here.findings
    differs = [str(one) for one in _findings(here) ^ _findings(there)]
    differs += [str(one) for one in _absent(here) ^ _absent(there)]
    for name, by_probe in here.measurements.items():
        for probe, found in by_probe.items():
            both = (_array(each.value) for each in (found, there.measurements[name][probe]))
            if not np.allclose(*both, rtol=5e-3, atol=1e-3, equal_nan=True):
                differs.append(f"{name} of {probe}")
    return {"off": differs, "device": there.provenance.device}


def _array(value: Any) -> NDArray[np.float64]:
    """Nested lists as one array, NaN where there is no number."""
    return np.array(value, dtype=np.float64)


def _absent(audit: Audit) -> set[tuple[str, str]]:
    """The nulls that have no value: a second model may have had no room."""
    nulls = (
        (metric, name, null) for metric, by_name in audit.nulls.items() for name, null in by_name.items()
    )
    return {(metric, name) for metric, name, null in nulls if null.absent is not None}


def _findings(audit: Audit) -> set[tuple[Any, ...]]:
    return {(f.rule, f.layer, f.head, f.severity, f.confirmation.status) for f in audit.findings}


def main(checkpoint: str) -> None:
    """Everything, on simulated devices."""
    module = elsewhere.there()
    roomy = module.free
    limits._DEVICE = re.compile(f"cpu|{elsewhere.NAME}")  # type: ignore[misc]

    def each(look: Callable[[str], Told], families: Sequence[str]) -> dict[str, Told]:
        module.free = roomy
        return {family: look(family) for family in families}

    found: dict[str, Any] = {
        "moved": each(partial(moved, device=elsewhere.NAME), FAMILIES),
        "named": each(partial(moved, device=f"{elsewhere.NAME}:1", gradients=False), FAMILIES[:1]),
        "audited": each(lambda _: audited(Path(checkpoint), elsewhere.NAME), ["bert_tiny"]),
        "spread": each(_spread, FAMILIES),
        "apart": each(lambda _: _audited_apart(Path(checkpoint)), ["bert_tiny"]),
        "crossed": each(crossed, CROSSED),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
