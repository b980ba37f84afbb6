"""Writes what a reviewer wants to see beside the numbers: how heads attend on one text, and the drop curves."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from audit.identity import digest_of, digest_of_file
from audit.models.loading import LoadedModel
from audit.models.observing import observe
from audit.numerics import rounded
from audit.observations import AttentionObservation, Batch
from audit.probes.sampling import Feed
from audit.results import Exhibit, Finding
from audit.results.redundancy import DropCurve
from audit.results.subject import LayerCoverage, Skipped
from audit.results.thumbnails import SIDE, UNSEEN, Sheet, Thumbnails
from audit.results.trainability import Diagram

LARGEST = 64  # tokens; a larger heat map shows nothing more on a page
MOST = 24  # patterns an audit keeps: the report is a digest, the measurements are the whole
_LONGEST_FILE = 120  # characters; file systems take 255 bytes
MOST_HEADS = 2048  # that have a thumbnail: a page of more would weigh more than 5 MB


class _Capture:
    """A receiver that keeps the patterns of the wanted heads of one sample, and a small picture of every head."""

    def __init__(self, wanted: set[tuple[int, int]]) -> None:
        self._wanted = wanted
        self.patterns: dict[tuple[int, int], list[list[float | None]]] = {}
        self.sheets: list[Sheet] = []

    def on_attention(self, observation: AttentionObservation) -> None:
        self.sheets.append(_sheet(observation))
        for layer, head in self._wanted:
            if layer == observation.layer:
                rows = observation.pattern[0, head].tolist()
                self.patterns[layer, head] = [[rounded(value, 4) for value in row] for row in rows]


def draw_patterns(
    findings: Sequence[Finding],
    loaded: LoadedModel,
    feeds: Sequence[Feed],
    layers: Sequence[LayerCoverage],
    folder: Path,
    *,
    show_text: bool,
) -> tuple[Exhibit, ...]:
    """A pattern of each flagged head on the first sample of the first probe, written as JSON into `folder`.

    Beside them thumbnails of all heads, of the same text.
    """
    about = {(f.layer, f.head) for f in findings if f.layer is not None and f.head is not None}
    wanted = set(itertools.islice(sorted(about), MOST))
    if not feeds:
        return ()
    fed = feeds[0]
    sample = fed.batches[0].only(0, LARGEST)
    capture = _Capture(wanted)
    observe(loaded.model, sample, capture, layers=layers)
    tokens = _tokens(loaded, sample) if show_text or not fed.private else None
    exhibits = []
    for finding in findings:
        if finding.layer is None or finding.head is None:
            continue
        pattern = capture.patterns.get((finding.layer, finding.head))
        if pattern is not None:
            shown = {"layer": finding.layer, "head": finding.head, "probe": fed.name, "tokens": tokens}
            exhibits.append(_written(finding, {**shown, "pattern": pattern}, folder))
    if sum(sheet.heads for sheet in capture.sheets) <= MOST_HEADS:
        small = Thumbnails(probe=fed.name, tokens=sample.input_ids.shape[1], sheets=tuple(capture.sheets))
        exhibits.append(_file(folder, "thumbnails", small, kind="thumbnails"))
    return tuple(exhibits)


def draw_curves(curves: Sequence[DropCurve], folder: Path) -> tuple[Exhibit, ...]:
    """The measured drop curves of an audit, each as JSON in `folder`, for whoever reads no audit.json."""
    return tuple(
        _file(folder, f"drop-curve-{curve.kind}", curve, kind="drop curve")
        for curve in curves
        if curve.absent is None
    )


def draw_diagram(diagram: Diagram | Skipped, folder: Path) -> tuple[Exhibit, ...]:
    """The trainability diagram, written as JSON into `folder`."""
    return (_file(folder, "diagram", diagram, kind="diagram"),) if isinstance(diagram, Diagram) else ()


def _sheet(observation: AttentionObservation) -> Sheet:
    """Mean weight of what is visible in each block of as many tokens as fit into `SIDE` pixels."""
    pattern = observation.pattern[0].float().nan_to_num(0.0)
    visible = observation.visible[0].expand_as(pattern).float()
    block = -(-max(pattern.shape[-2:]) // SIDE)

    def pooled(values: Tensor) -> Tensor:
        return avg_pool2d(values, block, ceil_mode=True)

    seen = pooled(visible)
    weight = (pooled(pattern * visible) / seen).clamp(0.0, 1.0)
    shades = torch.where(seen > 0, (weight.sqrt() * (UNSEEN - 1)).round(), UNSEEN).to(torch.uint8)
    heads, rows, columns = shades.shape
    return Sheet(
        layer=observation.layer,
        heads=heads,
        rows=rows,
        columns=columns,
        shades=shades.cpu().numpy().tobytes(),
    )


def _tokens(loaded: LoadedModel, sample: Batch) -> list[str] | None:
    if loaded.tokenizer is None:
        return None
    return [loaded.tokenizer.decode([token]) for token in sample.input_ids[0].tolist()]


def _written(finding: Finding, content: dict[str, Any], folder: Path) -> Exhibit:
    return _file(folder, finding.id, content, kind="pattern", finding=finding.id)


def _file_name(name: str) -> str:
    """`name` where it can be a file's, else what is left of it and a digest; axes are called as users like."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST_FILE].lstrip(".")
    return plain if plain == name else f"{plain}-{digest_of(name)[:8]}"


def _file(folder: Path, name: str, content: object, *, kind: str, finding: str | None = None) -> Exhibit:
    path = folder / f"{_file_name(name)}.json"
    path.write_bytes(msgspec.json.encode(content) + b"\n")
    return Exhibit(
        id=name, kind=kind, finding=finding, file=f"{folder.name}/{path.name}", sha256=digest_of_file(path)
    )
