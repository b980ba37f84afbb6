"""Where a configuration stands before training, as a page shows it; with a trained model marked on the diagram."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from audit.report.blocks import Figure, Medium, Row, Table, TrainabilitySection
from audit.report.cells import cells_of
from audit.report.diagram import Seen, chart
from audit.report.drawing import raster
from audit.report.exhibits import diagram_of
from audit.report.wording import number, sentence
from audit.results import Audit
from audit.results.subject import ProbeCoverage
from audit.results.trainability import Diagram

_LEAST_KEYS = 8  # rows that see fewer are not in the measured spread either
_ROWS = 40  # blocks a table of numbers shows
_INTRODUCTION = (
    "Computed from the configuration alone, as if every weight had just been drawn: it says how training starts, "
    "not what the trained weights do. Rank collapse: the tokens become one common vector. Entropy collapse: attention "
    "rests on few keys. Trainable: neither."
)


def section_of(audit: Audit, folder: Path, *, medium: Medium) -> TrainabilitySection:
    """The section of a report; without a picture where the audit holds no diagram."""
    found = diagram_of(audit, folder)
    if isinstance(found, str):
        return TrainabilitySection(
            introduction=sentence(f"no diagram: {found}"), figure=None, words=(), notes=()
        )
    return section(found, seen_of(audit, found), medium=medium)


def section(diagram: Diagram, seen: Sequence[Seen], *, medium: Medium) -> TrainabilitySection:
    """The same from a diagram; `seen` is what a pass showed of the trained model, if there was one."""
    here = diagram.here
    picture = raster(chart(diagram, seen), dark=medium == "screen")
    captions = [Row(label="◇ this configuration", text=_point(diagram))]
    if seen:
        text = "layers of the checkpoint as trained, each at its sharpness: a description, not a prediction."
        captions.append(Row(label="○ measured", text=text))
    figure = Figure(
        picture=picture,
        alt=f"Trainability diagram. {here.words[0]}",
        captions=tuple(captions),
        table=_table(diagram, seen) if medium == "screen" else None,
    )
    notes = [Row(label="Not in the configuration", text=sentence(line)) for line in here.missing]
    notes += [Row(label="Remark", text=sentence(line)) for line in here.remarks]
    return TrainabilitySection(
        introduction=_INTRODUCTION, figure=figure, words=here.words, notes=tuple(notes)
    )


def seen_of(audit: Audit, diagram: Diagram) -> tuple[Seen, ...]:
    """Sharpness and token similarity of the layers that the theory speaks of, on the first probe that has them.

    The spread of the scores is put on the diagram's axis by how near to freezing it is: kappa times beta_c.
    """
    layers = [each for each in audit.coverage.layers if each.kind == "self"]
    layers = [each for each in layers if each.stack == layers[0].stack]
    critical = diagram.here.point.beta_critical
    for probe in audit.coverage.probes:
        spreads, alike = (_by_layer(audit, name, probe.name) for name in ("score_spread", "token_similarity"))
        if spreads or alike:
            freezing = _freezing(probe, causal=audit.subject.task == "causal")
            return tuple(
                Seen(
                    block=layer.block + 1,
                    beta=spreads[layer.index] / freezing * critical
                    if layer.index in spreads and critical
                    else None,
                    similarity=alike.get(layer.index),
                )
                for layer in layers
            )
    return ()


def _by_layer(audit: Audit, metric: str, probe: str) -> dict[int, float]:
    """Mean over the heads of each layer that has a value."""
    measured = audit.measurements.get(metric, {}).get(probe)
    values: dict[int, list[float]] = {}
    for cell in cells_of(measured) if measured else ():
        if cell.layer is not None and cell.value is not None:
            values.setdefault(cell.layer, []).append(cell.value)
    return {layer: fmean(of) for layer, of in values.items()}


def _freezing(probe: ProbeCoverage, *, causal: bool) -> float:
    """The spread at which random scores freeze, sqrt(2 log n), on average over the rows of a sample."""
    keys = max(round(probe.tokens / max(probe.samples, 1)), _LEAST_KEYS)
    rows = range(_LEAST_KEYS, keys + 1) if causal else (keys,)
    return fmean(math.sqrt(2 * math.log(n)) for n in rows)


def _point(diagram: Diagram) -> str:
    here = diagram.here.point
    return (
        f"{here.depth} blocks, inverse temperature {number(here.beta)}; {here.phase} at T = {here.tokens}, "
        f"{here.phase_infinite} by the published T → ∞ map."
    )


def _table(diagram: Diagram, seen: Sequence[Seen]) -> Table:
    """Token similarity block by block, evenly picked where there are many."""
    profile, measured = diagram.here.profile, {each.block: each.similarity for each in seen}
    every = math.ceil(len(profile.similarity) / _ROWS)
    head = ("block", f"T = {diagram.here.point.tokens}", "T → ∞", "mean taken out of attention")
    return Table(
        head=(*head, "measured") if seen else head,
        rows=tuple(
            (
                str(block),
                number(profile.similarity[block]),
                number(profile.similarity_infinite[block]),
                number(profile.similarity_centred[block]),
                *((_optional(measured.get(block)),) if seen else ()),
            )
            for block in range(0, len(profile.similarity), every)
        ),
    )


def _optional(value: float | None) -> str:
    return "not measured" if value is None else number(value)
