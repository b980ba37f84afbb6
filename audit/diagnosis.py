"""Groups findings that share a cause and says what decides it, or that nothing measured does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from audit.results import Finding
from audit.results.causes import Cause, Diagnosis
from audit.results.trainability import Trainability
from audit.results.training import Training

WITHOUT_CAUSE = frozenset(
    {"static_head", "unobserved_layers"}
)  # an ordinary kind of head; a limit of the audit


_ONE_CAUSE = (
    "Tokens that are alike leave queries and keys next to no gradient: the collapse and the gradients it takes are one "
    "cause, not two."
)
_SATURATED = "Attention frozen on one key answers to no small change of scores, so that queries and keys get no gradient."


class _Known(NamedTuple):
    """What a cause may be read from."""

    trainability: Trainability | None
    training: Training | None
    unstable: bool  # the record flags more than a remark


class _Said(NamedTuple):
    cause: Cause
    reasoning: tuple[str, ...]


class _Group(NamedTuple):
    title: str
    rules: frozenset[str]
    why: Callable[[Sequence[Finding], _Known], _Said]


def diagnose(
    findings: Sequence[Finding], trainability: Trainability | None, training: Training | None
) -> tuple[Diagnosis, ...]:
    """The groups of `findings`, each finding in one at most; what turned out to matter has no cause to look for."""
    left = [
        each
        for each in findings
        if each.rule not in WITHOUT_CAUSE and not each.confirmation.details.get("matters")
    ]
    unstable = any(each.rule == "training_instability" and each.severity != "info" for each in left)
    known = _Known(trainability, training, unstable)
    found = []
    for group in GROUPS:
        mine = _follows(group, [each for each in left if each.rule in group.rules])
        if mine:
            said = group.why(mine, known)
            ids = tuple(each.id for each in mine)
            found.append(
                Diagnosis(title=group.title, cause=said.cause, findings=ids, reasoning=said.reasoning)
            )
            left = [each for each in left if each.id not in ids]
    return tuple(found)


def _follows(group: _Group, candidates: list[Finding]) -> list[Finding]:
    """The candidates; gradients that vanish follow from a collapse only where there is one, and from its layer on."""
    heads = [each for each in candidates if each.rule != "vanishing_gradient"]
    if group.rules == {"vanishing_gradient"}:
        return candidates
    onsets = {each.layer or 0 for each in heads if not each.rule.startswith("init_")}
    deep = "rank_collapse_depth" in group.rules
    return [
        each
        for each in candidates
        if each in heads
        or (deep and bool(onsets) and (each.layer is None or each.layer >= min(onsets)))
        or (not deep and each.layer in onsets)
    ]


def _collapse(mine: Sequence[Finding], known: _Known) -> _Said:
    rules = {each.rule for each in mine}
    together = (_ONE_CAUSE,) if "vanishing_gradient" in rules else ()
    return _origin(mine, known, "init_rank_collapse", "ends with its tokens apart", together)


def _sharp(mine: Sequence[Finding], known: _Known) -> _Said:
    together = (_SATURATED,) if any(each.rule == "vanishing_gradient" for each in mine) else ()
    return _origin(mine, known, "init_entropy_collapse", "starts with attention that is not frozen", together)


def _origin(
    mine: Sequence[Finding], known: _Known, initial: str, sound: str, together: tuple[str, ...]
) -> _Said:
    """Whether what is seen was there before training: the theory of the configuration decides, where it covers it."""
    here = known.trainability
    measured = any(not each.rule.startswith("init_") for each in mine)
    if here is None or here.assumptions:
        why = (
            "there is no theory of this configuration"
            if here is None
            else "the theory only comes near this architecture"
        )
        return _Said(
            "not decidable", (*together, f"Whether it was there before training is not known: {why}.")
        )
    if any(each.rule == initial for each in mine):
        seen = (
            "and it is seen in the trained weights"
            if measured
            else "but it was not seen in the trained weights"
        )
        return _Said(
            "initialisation", (*together, f"The configuration alone starts there, by arithmetic, {seen}.")
        )
    reasoning = (*together, f"Untrained, the configuration {sound}: it came about in training.")
    if known.unstable:
        return _Said(
            "training dynamics",
            (
                *reasoning,
                "The record of the training is unsteady; which of the two came first one checkpoint does not show.",
            ),
        )
    lack = (
        "The record is steady"
        if known.training and known.training.course
        else "There is no record of the training"
    )
    return _Said(
        "not decidable", (*reasoning, f"{lack}: between its dynamics and its data nothing measured decides.")
    )


def _unstable(mine: Sequence[Finding], known: _Known) -> _Said:
    went = known.training.course if known.training else None
    if went is not None and went.broken_since is not None:
        more = (
            " and the weights hold such numbers too"
            if any(f.rule == "nonfinite_weights" for f in mine)
            else ""
        )
        return _Said(
            "training dynamics", (f"From step {went.broken_since} on the record is not finite{more}.",)
        )
    if known.unstable and any(each.rule == "exploding_gradient" for each in mine):
        words = "Gradients grow towards the first layer, and the record of the training is unsteady."
        return _Said("training dynamics", (words,))
    if known.unstable:
        return _Said(
            "not decidable",
            ("Steps that are too large and batches unlike the others leave the same record.",),
        )
    return _Said("not decidable", ("No record of the training shows such an event.",))


def _skew(mine: Sequence[Finding], _: _Known) -> _Said:
    if all(each.cause.startswith("the training data") for each in mine):
        return _Said("data", ("The same architecture with fresh weights shows less than half of it.",))
    return _Said(
        "not decidable",
        ("A model with fresh weights shows some of it as well, or there is none to compare with.",),
    )


def _fixed(cause: Cause, words: str) -> Callable[[Sequence[Finding], _Known], _Said]:
    return lambda _mine, _known: _Said(cause, (words,))


GROUPS = (
    _Group(
        "Tokens become alike with depth",
        frozenset({"rank_collapse_depth", "init_rank_collapse", "vanishing_gradient"}),
        _collapse,
    ),
    _Group(
        "Attention frozen on few keys",
        frozenset({"entropy_collapse", "init_entropy_collapse", "vanishing_gradient"}),
        _sharp,
    ),
    _Group(
        "Gradients that vanish, of tokens that are not alike",
        frozenset({"vanishing_gradient"}),
        _fixed(
            "not decidable",
            "Neither a rank collapse nor an entropy collapse was found that would explain it.",
        ),
    ),
    _Group(
        "A training that lost its footing",
        frozenset({"nonfinite_weights", "training_instability", "exploding_gradient"}),
        _unstable,
    ),
    _Group(
        "Attention that only averages",
        frozenset({"rank_collapse_width", "uniform_head"}),
        _fixed(
            "not decidable",
            "Queries and keys that never grew and ones that were scaled away later look alike.",
        ),
    ),
    _Group(
        "The order of norms and sums",
        frozenset({"norm_placement"}),
        _fixed("architecture", "Read from the configuration."),
    ),
    _Group(
        "Texts that training did not see",
        frozenset({"undertrained_positions"}),
        _fixed(
            "data",
            "Texts shorter than the positions the model has: rows that no text reached stay as they were drawn.",
        ),
    ),
    _Group(
        "Far text that is not used",
        frozenset({"long_range_forgetting"}),
        _fixed(
            "not decidable",
            "Training on short texts and positions that cannot tell so far look alike in one checkpoint.",
        ),
    ),
    _Group("Groups of people treated unlike", frozenset({"attention_skew"}), _skew),
    _Group(
        "Capacity that is not used",
        frozenset(
            {
                "lazy_layer",
                "redundant_layer",
                "attention_as_mlp",
                "dead_head",
                "collapsed_head",
                "dormant_head",
                "duplicate_head",
            }
        ),
        _fixed(
            "not decidable",
            "More than the task needed and what training or conversion spoilt look alike in one checkpoint.",
        ),
    ),
)
