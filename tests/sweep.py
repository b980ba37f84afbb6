"""Audits the coverage itself: a tiny random checkpoint of every text model type, observed and counted independently.

`python -m tests.sweep [--types a,b,c] [--markdown FILE]`. Each type is saved, opened again the way a user's
checkpoint is, and observed on a padded batch of random tokens. The count beside it shares no code with the observer:
it patches nothing, knows no model, and reads off the shapes that softmaxes return in a plain eager pass.
"""

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.utils import logging

from audit.checkpoint.opening import open_checkpoint
from audit.errors import AuditError, NothingObserved
from audit.models.coverage import observed, survey
from audit.models.inputs import ordinary_ids
from audit.models.loading import load_model
from audit.models.observing import observe
from audit.observations import AttentionObservation, Batch, ResidualObservation
from audit.results.subject import LayerCoverage
from tests.architectures import NAMES, UNBUILDABLE, Task, tiny_model

LENGTH = 13  # tokens: a size that nothing else in the tiny models has
ALL, ANY = 200, 240  # of the 277: all softmax attention layers observed, and at least one


class Row(NamedTuple):
    """What became of one model type."""

    model_type: str
    task: Task
    outcome: str  # all, some, none, refused, unbuildable
    observed: int
    counted: int
    reason: str


class Counting(TorchFunctionMode):
    """Counts attention by the shapes that softmaxes have."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "softmax":
            self.count += _is_over_tokens(*out.shape[-2:])
        elif name == "scaled_dot_product_attention":
            self.count += _is_over_tokens(args[0].shape[-2], args[1].shape[-2])
        elif name == "multi_head_attention_forward":
            self.count += 1
        return out


class Seen:
    """A receiver that notes which layers it was handed."""

    def __init__(self) -> None:
        self.layers: Counter[int] = Counter()
        self.problems: list[str] = []

    def on_attention(self, observation: AttentionObservation) -> None:
        self.layers[observation.layer] += 1
        total = observation.pattern.sum(-1)[
            observation.queries[:, None].expand(observation.pattern.shape[:3])
        ]
        if not bool((total <= 1 + 1e-4).all() and (total > 0).all()):
            self.problems.append(f"rows of layer {observation.layer} sum to {total.min()} .. {total.max()}")

    def on_residual(self, observation: ResidualObservation) -> None:
        """Not counted here."""


def pairs(types: Iterable[str] = ()) -> list[tuple[str, Task]]:
    """Every model type with each task it is built for, or those of `types`."""
    wanted = set(types)
    found = {(name, task) for task, names in NAMES.items() for name in names}
    return sorted(pair for pair in found if not wanted or pair[0] in wanted)


def sweep(chosen: Iterable[tuple[str, Task]]) -> Iterator[Row]:
    """One row for each type and task."""
    for model_type, task in chosen:
        with tempfile.TemporaryDirectory() as folder:
            yield _swept(model_type, task, Path(folder))


def markdown(rows: list[Row]) -> str:
    """The rows as a table, and the totals."""
    head = "| model type | task | outcome | observed | counted | not observed, and why |\n|---|---|---|---:|---:|---|\n"
    body = "".join("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |\n" for row in rows)
    totals = ", ".join(
        f"{count} {outcome}" for outcome, count in Counter(row.outcome for row in rows).items()
    )
    return f"{head}{body}\n{len(rows)} types and tasks: {totals}.\n"


def _swept(model_type: str, task: Task, folder: Path) -> Row:
    if model_type in UNBUILDABLE:
        return Row(model_type, task, "unbuildable", 0, 0, UNBUILDABLE[model_type])
    try:
        tiny_model(model_type, task).save_pretrained(folder)
        model = load_model(open_checkpoint(folder)).model
        layers = survey(model)
        seen = Seen()
        found = observe(model, _batch(model), seen, layers=layers).seen
    except NothingObserved as error:
        return Row(model_type, task, "refused", 0, 0, str(error))
    except AuditError as error:
        return Row(model_type, task, "refused", 0, 0, str(error).replace(str(folder), "the folder"))
    return _judged(model_type, task, observed(layers, found), seen, _counted(model))


def _judged(model_type: str, task: Task, layers: tuple[LayerCoverage, ...], seen: Seen, counted: int) -> Row:
    softmax = [layer for layer in layers if layer.heads]
    watched = [layer for layer in softmax if layer.observed]
    reasons = Counter(layer.reason for layer in layers if not layer.observed)
    remarks = [f"{count} layers: {reason}" for reason, count in reasons.items()] + seen.problems
    if len(watched) < counted:
        remarks.append(f"{counted} softmaxes over the tokens were counted")
    whole = len(watched) == len(softmax) >= counted and not seen.problems
    outcome = "all" if whole else "some" if watched else "none"
    return Row(model_type, task, outcome, len(watched), counted, "; ".join(remarks))


def _counted(model: PreTrainedModel) -> int:
    ids = _batch(model).input_ids
    inputs = {model.main_input_name if model.main_input_name == "inputs" else "input_ids": ids}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    counting = Counting()
    with torch.no_grad(), counting:
        model(**inputs)
    return counting.count


def _batch(model: PreTrainedModel) -> Batch:
    """Two rows of random tokens, padded on one side each."""
    ids = ordinary_ids(model)
    picked = torch.randint(len(ids), (2, LENGTH), generator=torch.Generator().manual_seed(1))
    tokens = torch.ones(2, LENGTH, dtype=torch.bool)
    tokens[0, -3:] = tokens[1, :2] = False
    return Batch(ids[picked], tokens, ~tokens, samples=(0, 1), documents=("a", "b"))


def _is_over_tokens(queries: int, keys: int) -> bool:
    """Whether these are the last two sizes of an attention: some join keys or pool queries."""
    return LENGTH <= keys <= 4 * LENGTH and queries >= LENGTH // 2


def main() -> int:
    """Print the table as it grows and the totals; 0 when the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--types", default="", help="comma-separated model types (default: all)")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    rows = []
    for row in sweep(pairs(filter(None, options.types.split(",")))):
        rows.append(row)
        sys.stdout.write(" ".join(map(str, row)) + "\n")
        sys.stdout.flush()
    table = markdown(rows)
    sys.stdout.write(table.rsplit("\n\n", 1)[-1])
    if options.markdown:
        options.markdown.write_text(table)
    complete = sum(row.outcome == "all" for row in rows)
    seen = sum(row.observed > 0 for row in rows)
    if options.types:
        return int(any(row.outcome in ("some", "none") for row in rows))
    return int(complete < ALL or seen < ANY)


if __name__ == "__main__":
    sys.exit(main())
