"""Which findings an ablation can bear out, what is taken out for each, and which of them the budget covers."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from audit.interventions.ablation import Ablation, Cut, Replacement
from audit.results import Depth, Finding

LAYER_RULES = ("redundant_layer", "lazy_layer", "attention_as_mlp")
HEAD_RULES = (
    "collapsed_head",
    "entropy_collapse",
    "static_head",
    "dormant_head",
    "uniform_head",
    "duplicate_head",
)
_OTHERS: tuple[Replacement, ...] = ("zero", "uniform", "identity")
_ALL_THREE: tuple[Replacement, ...] = ("mean", "uniform", "identity")  # what a token-local attention survives


class Budget(NamedTuple):
    """What confirmation may cost; None is no bound."""

    findings: int | None
    passes: (
        float | None
    )  # plain passes over the texts; beyond them only a finding's first replacement is tried


BUDGETS: dict[Depth, Budget] = {"standard": Budget(10, 25.0), "full": Budget(None, None)}


class Candidate(NamedTuple):
    """A finding, and what is taken out to confirm it."""

    finding: Finding
    cuts: tuple[Cut, ...]  # each must be harmless
    others: tuple[Cut, ...]  # shown beside them where they are


def candidates(findings: Sequence[Finding]) -> list[Candidate]:
    """The findings that an ablation can bear out, those of each rule taking turns, layers before heads.

    A finding that is absolute needs no confirmation.
    """
    turns: Counter[str] = Counter()
    ranked = []
    for finding in findings:
        made = _candidate(finding)
        if made is not None:
            ranked.append((turns[finding.rule], (*LAYER_RULES, *HEAD_RULES).index(finding.rule), made))
            turns[finding.rule] += 1
    return [made for _, _, made in sorted(ranked, key=lambda entry: entry[:2])]


def _candidate(finding: Finding) -> Candidate | None:
    layer, head, rule = finding.layer, finding.head, finding.rule
    if finding.confirmation.status == "absolute" or layer is None:
        return None
    if rule in HEAD_RULES and head is not None:
        return Candidate(finding, _head(layer, head, ("mean",)), _head(layer, head, _OTHERS))
    if rule == "redundant_layer":
        return Candidate(finding, ((Ablation(target="block", layer=layer, replacement="skip"),),), ())
    if rule == "lazy_layer":
        return Candidate(finding, _attention(layer, ("skip",)), _attention(layer, _OTHERS))
    if rule == "attention_as_mlp":
        return Candidate(finding, _attention(layer, _ALL_THREE), _attention(layer, ("skip",)))
    return None


def _head(layer: int, head: int, replacements: Sequence[Replacement]) -> tuple[Cut, ...]:
    return tuple(
        (Ablation(target="head", layer=layer, heads=(head,), replacement=replacement),)
        for replacement in replacements
    )


def _attention(layer: int, replacements: Sequence[Replacement]) -> tuple[Cut, ...]:
    return tuple(
        (Ablation(target="attention", layer=layer, replacement=replacement),) for replacement in replacements
    )
