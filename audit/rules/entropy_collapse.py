"""Flags heads whose attention collapsed onto about one key that is neither a sink nor a fixed position."""

from collections.abc import Iterator

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence

_READ = ("attention_entropy", "attention_entropy_without_sinks", "sink_mass", "offset_mass")


def judge(case: Case) -> Judgement:
    """A suspicion for each head that is collapsed on every text probe."""
    probes = [probe for probe in case.texts() if any(case.cells("attention_entropy", probe))]
    if not probes:
        return NotMeasured("attention_entropy was not measured on any text probe")
    flagged = []
    for cell in case.cells("attention_entropy", probes[0]):
        evidence = [_evidence(case, probe, cell.layer, cell.head) for probe in probes]
        if all(evidence):
            flagged.append(_suspicion(cell, tuple(item for items in evidence for item in items)))
    return tuple(flagged)


def _evidence(case: Case, probe: str, layer: int, head: int | None) -> tuple[Evidence, ...]:
    """The numbers that make this head collapsed on `probe`; empty when it is not."""
    raw, off_sink, sink, offset = (case.cell(metric, probe, layer, head) for metric in _READ)
    limit = case.thresholds["entropy"]
    if raw is None or _upper(raw) > limit:
        return ()
    if sink is not None and 1.0 - sink.value < case.thresholds["off_sink_mass"]:
        return ()  # a sink explains it
    if off_sink is not None and _upper(off_sink) > limit:
        return ()  # what is left beside the sink is spread as attention should be
    if offset is not None and offset.value > case.thresholds["offset_mass"]:
        return ()  # a positional head, such as one that reads the previous token
    return tuple(_shown(cell, metric, probe, limit) for cell, metric in _judged(raw, off_sink))


def _judged(raw: Cell, off_sink: Cell | None) -> Iterator[tuple[Cell, str]]:
    yield raw, "attention_entropy"
    if off_sink is not None:
        yield off_sink, "attention_entropy_without_sinks"


def _upper(cell: Cell) -> float:
    return cell.value if cell.high is None else cell.high


def _shown(cell: Cell, metric: str, probe: str, threshold: float) -> Evidence:
    return Evidence(
        metric=metric,
        probe=probe,
        value=cell.value,
        low=cell.low,
        high=cell.high,
        n=cell.n,
        threshold=threshold,
        direction="below",
    )


def _suspicion(cell: Cell, evidence: tuple[Evidence, ...]) -> Suspicion:
    return Suspicion(
        layer=cell.layer,
        head=cell.head,
        statement=f"Attention of head {cell.head} in layer {cell.layer} has collapsed onto about one token, and "
        "neither a sink nor a fixed position explains it.",
        evidence=evidence,
        cause="scores that grew without bound: W_Q W_K^T too large for the layer's input",
    )


RULE = Rule(
    name="entropy_collapse",
    title="Entropy collapse",
    summary="attention on about one token, not explained by a sink or a fixed position",
    criterion="95% upper bound of attention_entropy AND of attention_entropy_without_sinks <= `entropy` on every text "
    "probe, with at least `off_sink_mass` of the mass off the sinks and at most `offset_mass` on one offset",
    judge=judge,
    mitigation="In training: a lower learning rate, longer warm-up, QK-norm or a reparametrised spectral norm of W_Q "
    "and W_K. On the checkpoint: cap the score scale of the head.",
    limits="A sharp head can be a useful one (copying, coreference): until removing it was seen to be harmless this is "
    "a suspicion. Collapse during training shows in a series of checkpoints, not in one.",
    references=("Zhai et al. 2023, arXiv 2303.06296 (attention entropy collapse)",),
    reads=("attention_entropy",),
)
