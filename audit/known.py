"""What earlier audits of the store say of one that differs from them in its metrics alone: that is not measured again."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from audit import store as stores
from audit.errors import UnusableInput
from audit.interventions.curve import CHOSEN_BY
from audit.measure import WEIGHTS, Table, sampled
from audit.protocol import apart
from audit.request import Request, measurement_id_with
from audit.results import Audit, Measurement, Null
from audit.results.redundancy import DropCurve
from audit.results.subject import LayerCoverage
from audit.store import MEASUREMENTS, Entry


@dataclass(frozen=True)
class Known:
    """What is asked for, and published audits that are the same but for the choice of metrics."""

    asked: Request
    entries: tuple[Entry, ...] = ()

    @property
    def missing(self) -> Request:
        """The same request for the metrics that none of them measured."""
        metrics = tuple(metric for metric in self.asked.metrics if metric.name not in self._by_metric)
        return self.asked._replace(metrics=metrics)

    @property
    def audit(self) -> Audit | None:
        """Any of them: what does not depend on metrics is the same in all."""
        return self.entries[0].audit if self.entries else None

    @property
    def layers(self) -> tuple[LayerCoverage, ...] | None:
        """What became of each layer, where it need not be seen again: no missing metric is read in a forward pass."""
        usual, _ = apart(self.missing.metrics)
        forward = any(metric.observes in {"attention", "residual"} for metric in usual)
        return None if forward or not self.audit else self.audit.coverage.layers

    @property
    def fresh(self) -> dict[str, dict[str, Null]]:
        """What metrics read in the re-initialised model."""
        nulls = {name: entry.audit.nulls.get(name, {}) for name, entry in self._by_metric.items()}
        return {
            name: {"reinitialised": found["reinitialised"]}
            for name, found in nulls.items()
            if "reinitialised" in found
        }

    @property
    def drop_curves(self) -> tuple[DropCurve, ...]:
        """What leaving parts out costs, where as many of the metrics were measured that the order of the parts rests on."""
        ordering = {*CHOSEN_BY.values()}
        needed = ordering & {metric.name for metric in self.asked.metrics}
        alike = (entry.audit for entry in self.entries if ordering & {*entry.audit.measurements} == needed)
        return next((audit.drop_curves for audit in alike if audit.drop_curves), ())

    def joined(self, found: Mapping[str, dict[str, Measurement]]) -> dict[str, dict[str, Measurement]]:
        """What they measured together with what was `found` now, in the order of the request."""
        return {
            metric.name: found[metric.name] if metric.name in found else self._measured(metric.name)
            for metric in self.asked.metrics
        }

    def write(self, table: Table, probe: str, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Append to `table` their rows and the `values` measured now, as one audit of all would have."""
        for metric in sampled(self.asked.metrics):
            if metric.name in values:
                table.write(probe, {metric.name: values[metric.name]})
            else:
                table.copy(probe, metric.name, of=self._by_metric[metric.name].folder / MEASUREMENTS)

    @cached_property
    def _by_metric(self) -> dict[str, Entry]:
        """Where each metric that is asked for was measured."""
        wanted = {metric.name for metric in self.asked.metrics}
        return {name: entry for entry in self.entries for name in entry.audit.measurements if name in wanted}

    def _measured(self, metric: str) -> dict[str, Measurement]:
        audit = self._by_metric[metric].audit
        fed = [*(probe.name for probe in audit.coverage.probes), WEIGHTS]
        return {
            probe: audit.measurements[metric][probe] for probe in fed if probe in audit.measurements[metric]
        }


def known(store: Path, asked: Request) -> Known:
    """What the store holds of the measurements that are asked for; damaged audits say nothing."""
    return Known(asked, tuple(_alike(store, asked)))


class Earlier(NamedTuple):
    """What the store holds of an audit that is about to be made; one of the two at most."""

    before: Audit | None = None  # with the same measurements, under another policy
    earlier: Known | None = None  # others that differ in their metrics alone


def earlier(store: Path, asked: Request, folder: Path, *, force: bool) -> Earlier:
    """Nothing where it is to be measured anew by `force`; the table of measurements that stay goes into `folder`."""
    if force:
        return Earlier()
    same = stores.measured(store, asked.measurement_id)
    if same is None:
        return Earlier(earlier=known(store, asked))
    shutil.copyfile(same / MEASUREMENTS, folder / MEASUREMENTS)
    return Earlier(before=stores.read(same))


def _alike(store: Path, asked: Request) -> Iterator[Entry]:
    """Whole audits that would be this one, to the last bit, had they been asked for its metrics."""
    for folder in stores.of_checkpoint(store, asked.checkpoint.digest):
        try:
            audit = stores.read(folder)
            if _is_alike(audit, asked):
                others = [name for name in stores.listed(folder) if name != MEASUREMENTS]
                stores.refuse_edited(folder, spare=others)
                yield Entry(folder, audit)
        except (UnusableInput, LookupError, TypeError, ValueError):  # what is written there may be anything
            continue


def _is_alike(audit: Audit, asked: Request) -> bool:
    threads = asked.plan.threads or torch.get_num_threads()
    ways = (audit.plan["batch_size"], audit.provenance.threads)
    same = measurement_id_with(asked, audit.plan["metrics"]) == audit.measurement_id
    return same and ways == (asked.plan.batch_size, threads)
