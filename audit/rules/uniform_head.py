"""Flags heads that average over everything they may see."""

from audit.definitions import Case, Cell, Judgement, NotMeasured, Rule, Suspicion
from audit.results import Evidence


def judge(case: Case) -> Judgement:
    """A suspicion for each head whose normalised entropy stays above the threshold on every text probe."""
    probes = [probe for probe in case.texts() if any(case.cells("attention_entropy", probe))]
    if not probes:
        return NotMeasured("attention_entropy was not measured on any text probe")
    threshold = case.thresholds["entropy"]
    flagged = []
    for first in case.cells("attention_entropy", probes[0]):
        cells = [case.cell("attention_entropy", probe, first.layer, first.head) for probe in probes]
        if any(cell is None or (cell.value if cell.low is None else cell.low) < threshold for cell in cells):
            continue
        flagged.append(
            Suspicion(
                layer=first.layer,
                head=first.head,
                statement=f"Head {first.head} of layer {first.layer} attends to all visible tokens alike: its "
                "attention is an average, and no query changes it.",
                evidence=tuple(
                    Evidence(
                        metric="attention_entropy",
                        probe=probe,
                        value=cell.value,
                        low=cell.low,
                        high=cell.high,
                        n=cell.n,
                        null=_untrained(case, first),
                        threshold=threshold,
                        direction="above",
                    )
                    for probe, cell in zip(probes, cells, strict=True)
                    if cell is not None
                ),
                cause="queries and keys that never grew, or a head left as initialised",
            )
        )
    return tuple(flagged)


def _untrained(case: Case, place: Cell) -> float | None:
    """What the upper tail of the heads of the same architecture reads without any training, where it was run."""
    null = case.null("attention_entropy", "reinitialised", place.layer, place.head)
    return null.high if null else None


RULE = Rule(
    name="uniform_head",
    title="Uniform head",
    summary="a head that attends to every visible token alike",
    criterion="95% lower bound of attention_entropy >= `entropy` on every text probe",
    judge=judge,
    mitigation="Check the scale of W_Q and W_K (initialisation, weight decay); an averaging head can be replaced by a "
    "mean over tokens without attention.",
    limits="Averaging may be what the head is for: only ablation tells whether it matters.",
    references=("Noci et al. 2022 (signal propagation in transformers)",),
    reads=("attention_entropy",),
)
