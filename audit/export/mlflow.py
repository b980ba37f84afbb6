"""An audit as a run of MLflow: numbers as metrics, what it is as tags, its folder as artifacts. Needs the extra `mlflow`."""

import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np

from audit.errors import MachineFault, UnusableInput
from audit.export.saying import name, plain
from audit.results import Audit, Values

_LONGEST_TAG: Final = 5_000  # characters that every backend takes


class Client(Protocol):
    """What is used of `mlflow.tracking.MlflowClient`."""

    def get_experiment_by_name(self, name: str) -> Any:
        """The experiment with its `experiment_id`, or None."""

    def create_experiment(self, name: str) -> str:
        """The new experiment's id."""

    def create_run(self, experiment_id: str, *, tags: dict[str, str], run_name: str) -> Any:
        """A run with its `info.run_id`."""

    def log_metric(self, run_id: str, key: str, value: float) -> Any:
        """Record one number."""

    def log_param(self, run_id: str, key: str, value: Any) -> Any:
        """Record one setting."""

    def log_artifacts(self, run_id: str, local_dir: str) -> None:
        """Record a folder."""

    def set_terminated(self, run_id: str, status: str | None = None) -> None:
        """End the run."""


def connect(uri: str) -> Client:
    """A client of the tracking server (or store) at `uri`, which is all that is ever spoken to.

    Raises UnusableInput where the extra is not installed. The library's own telemetry is switched off before it is
    imported, for it would speak to its makers.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # noqa: TID251 - set, not read; nothing else can switch it off
    try:
        made = import_module("mlflow.tracking").MlflowClient
    except ImportError:
        raise UnusableInput("MLflow is not installed: pip install 'attention-audit[mlflow]'") from None
    try:
        return cast("Client", made(tracking_uri=uri))
    except Exception as error:  # its own kinds are no part of what is installed here
        raise _refusal(uri, error) from error


def log(
    audit: Audit, folder: Path, uri: str, *, experiment: str, client: Callable[[str], Client] = connect
) -> str:
    """The id of the run that now holds the audit. Raises MachineFault where the server cannot be reached or says no."""
    spoken = client(uri)
    try:
        known = spoken.get_experiment_by_name(experiment)
        home = known.experiment_id if known else spoken.create_experiment(experiment)
        run_id = str(spoken.create_run(home, tags=_tags(audit), run_name=name(audit)).info.run_id)
        for key, value in sorted(audit.plan.items()):
            spoken.log_param(run_id, key, plain(str(value))[:_LONGEST_TAG])
        for key, number in metrics(audit).items():
            spoken.log_metric(run_id, key, number)
        spoken.log_artifacts(run_id, str(folder))
        spoken.set_terminated(run_id, "FINISHED")
    except Exception as error:
        raise _refusal(uri, error) from error
    return run_id


def metrics(audit: Audit) -> dict[str, float]:
    """Findings by severity, and mean, lowest and highest value of each metric on each probe, under names MLflow takes."""
    counts = {
        f"findings.{severity}": float(sum(finding.severity == severity for finding in audit.findings))
        for severity in ("fail", "watch", "info")
    }
    numbers: dict[str, float] = {}
    for metric, by_probe in audit.measurements.items():
        for probe, measured in by_probe.items():
            cells = _numbers(measured.value)
            if cells.size:
                key = re.sub(r"[^\w. /-]", "_", f"{metric}.{probe}", flags=re.ASCII)[:200]
                numbers |= {
                    f"{key}.mean": float(cells.mean()),
                    f"{key}.min": float(cells.min()),
                    f"{key}.max": float(cells.max()),
                }
    return counts | numbers


def _numbers(values: Values) -> "np.ndarray[Any, np.dtype[np.float64]]":
    rows = values if isinstance(values, list) else [values]
    flat = [cell for row in rows for cell in (row if isinstance(row, list) else [row])]
    return np.array([cell for cell in flat if cell is not None], dtype=np.float64)


def _tags(audit: Audit) -> dict[str, str]:
    said = {
        "verdict": audit.verdict,
        "audit_id": audit.audit_id,
        "measurement_id": audit.measurement_id,
        "checkpoint": audit.subject.digest,
        "architecture": audit.subject.architecture,
        "policy": audit.policy.name,
        "path": audit.provenance.path,
        "command": audit.provenance.command,
    }
    return {f"attention_audit.{key}": plain(value)[:_LONGEST_TAG] for key, value in said.items()}


def _refusal(uri: str, error: Exception) -> MachineFault:
    return MachineFault(f"MLflow at {uri!r} did not take the audit: {plain(str(error))[:300]}")
