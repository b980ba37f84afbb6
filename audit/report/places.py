"""Names of places in a model, as a reader says them: `layer 3, head 7`, `layer 8 (decoder cross-attention)`."""

from typing import NamedTuple

from audit.report.wording import ranges, sentence, shortened
from audit.results.subject import Coverage, LayerCoverage

_PLAIN = {"model", "checkpoint", "final", "best", "weights", "output"}  # names that say nothing on their own
_LONGEST_NAME = 80


class Group(NamedTuple):
    """Attention layers of one stack and kind; a profile draws one line per group."""

    stack: str
    kind: str

    def __str__(self) -> str:
        return f"{self.stack} {self.kind}-attention"


def group_of(layer: LayerCoverage) -> Group:
    """The stack and kind of `layer`."""
    return Group(layer.stack, layer.kind)


def groups(coverage: Coverage) -> tuple[Group, ...]:
    """The groups this model has, in the order of their first layer."""
    return tuple(dict.fromkeys(group_of(layer) for layer in coverage.layers))


def place(coverage: Coverage, layer: int | None, head: int | None) -> str:
    """Where a finding stands, in words."""
    if layer is None:
        return "whole model"
    words = f"layer {layer}"
    if len(groups(coverage)) > 1 and 0 <= layer < len(coverage.layers):
        words += f" ({group_of(coverage.layers[layer])})"
    return words if head is None else f"{words}, head {head}"


def map_of_layers(coverage: Coverage) -> str:
    """Which layers belong to which stack, one sentence per group; empty for a model of one kind."""
    found = groups(coverage)
    if len(found) < 2:
        return ""
    return " ".join(
        sentence(
            f"layers {ranges(layer.index for layer in coverage.layers if group_of(layer) == group)}: {group}"
        )
        for group in found
    )


def name_of(path: str) -> str:
    """A short name for the checkpoint at `path`: the hub's name, or the last folder that says something."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    hub = [part.removeprefix("models--").replace("--", "/") for part in parts if part.startswith("models--")]
    plain = len(parts) > 1 and parts[-1].lower() in _PLAIN
    name = hub[0] if hub else "/".join(parts[-2:] if plain else parts[-1:])
    return shortened(name, _LONGEST_NAME) or "checkpoint"
