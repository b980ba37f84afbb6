"""Shows which heads of a model write alike, within a layer and between layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from audit.identity import digest_of_file
from audit.metrics._places import outputs_of
from audit.metrics.twin_similarity import centred_kernels, normalised
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.numerics import rounded
from audit.observations import AttentionObservation
from audit.probes.sampling import Feed
from audit.results import Exhibit
from audit.results.subject import LayerCoverage

ROWS = tuple(range(1, 128, 8))  # 16 rows of each sample: heads of all layers are held at once
MOST_HEADS = 4096  # of a model: a matrix of all pairs takes 128 MB then
LINKED = 0.9  # likeness that puts two heads into one cluster

Head = tuple[int, int]  # layer, head


class Kernels:
    """A receiver that keeps a small kernel of every head; of none where a matrix of all pairs would be too large."""

    def __init__(self, layers: Sequence[LayerCoverage]) -> None:
        self.of: dict[int, Tensor] = {}  # layer -> float32 [batch, head, row x row]
        self._wanted = 1 < sum(layer.heads for layer in layers) <= MOST_HEADS

    def on_attention(self, observation: AttentionObservation) -> None:
        """Keep what one attention layer puts out."""
        found = outputs_of(observation, ROWS) if self._wanted and observation.kind == "self" else None
        if found is not None:
            self.of[observation.layer] = centred_kernels(*found).float().cpu()


def kernels_of(loaded: LoadedModel, fed: Feed, layers: Sequence[LayerCoverage]) -> Kernels:
    """The kernels of the first batch of a probe, by a pass of their own."""
    kernels = Kernels(layers)
    observe(loaded.model, fed.batches[0], kernels, layers=layers)
    return kernels


def draw_similarity(
    kernels: Kernels, fed: Feed, layers: Sequence[LayerCoverage], folder: Path
) -> tuple[Exhibit, ...]:
    """The likeness of the heads on the first batch of a probe, as JSON in `folder`; nothing for one head."""
    if not kernels.of:
        return ()
    content = {"probe": fed.name, "samples": len(fed.batches[0].samples), **_content(kernels.of, layers)}
    path = folder / "similarity.json"
    path.write_bytes(msgspec.json.encode(content) + b"\n")
    return (
        Exhibit(
            id="similarity",
            kind="similarity",
            finding=None,
            file=f"{folder.name}/{path.name}",
            sha256=digest_of_file(path),
        ),
    )


def _content(kernels: dict[int, Tensor], layers: Sequence[LayerCoverage]) -> dict[str, Any]:
    """What is written: a matrix per layer, the largest likeness between layers, and clusters."""
    likeness, heads = similarity(kernels)
    own = {layer: [index for index, (of, _) in enumerate(heads) if of == layer] for layer in sorted(kernels)}
    return {
        "measure": "CKA of head outputs, unbiased, summed over samples",
        "linked": LINKED,
        "layers": [
            {
                "layer": layer,
                "kv_heads": layers[layer].kv_heads,
                "matrix": _listed(likeness[rows][:, rows]),
            }
            for layer, rows in own.items()
        ],
        "between": _listed(
            torch.stack(
                [torch.stack([likeness[one][:, two].amax() for two in own.values()]) for one in own.values()]
            ).fill_diagonal_(1.0)
        ),
        "clusters": clusters(likeness, heads),
    }


def similarity(kernels: dict[int, Tensor]) -> tuple[Tensor, list[Head]]:
    """CKA of all pairs of heads of all layers, float64 [head, head], and which heads these are."""
    order = sorted(kernels)
    heads = [(layer, head) for layer in order for head in range(kernels[layer].shape[1])]
    total = torch.zeros(len(heads), len(heads), dtype=torch.float64)
    for sample in range(len(kernels[order[0]])):
        stacked = torch.cat([kernels[layer][sample] for layer in order])
        total += (stacked @ stacked.T).double()
    return normalised(total).clamp(-1.0, 1.0), heads


def clusters(likeness: Tensor, heads: Sequence[Head]) -> list[list[Head]]:
    """Heads linked by a likeness of at least `LINKED`, directly or through others; lone heads are left out."""
    label = list(range(len(heads)))
    for one, two in (likeness.triu(1) >= LINKED).nonzero().tolist():
        old, new = max(label[one], label[two]), min(label[one], label[two])
        label = [new if known == old else known for known in label]
    grouped = [
        [head for head, of in zip(heads, label, strict=True) if of == name] for name in sorted({*label})
    ]
    return [group for group in grouped if len(group) > 1]


def _listed(matrix: Tensor) -> list[list[float | None]]:
    return [[rounded(value, 3) for value in row] for row in matrix.tolist()]
