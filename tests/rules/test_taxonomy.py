"""Rules of heads and layers: each flags its fault, spares the healthy look-alike, and says when it could not judge."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from audit import catalog
from audit.definitions import Case, NotApplicable, NotMeasured, Suspicion
from audit.results import Null
from tests.rules.cases import case, layers, measured

BOTH = ("prose", "code")


def built(
    rule: str,
    values: Mapping[str, Any],
    *,
    probes: tuple[str, ...] = BOTH,
    spread: float = 0.001,
    **more: Any,
) -> Case:
    """A case in which every probe reads the same values, but for metrics given as a pair of (prose, code)."""
    of = {
        metric: {
            probe: measured(value[index] if isinstance(value, tuple) else value, spread=spread)
            for index, probe in enumerate(probes)
        }
        for metric, value in values.items()
    }
    return case(rule, of, **more)


def flagged(rule: str, made: Case) -> list[tuple[int | None, int | None]]:
    return [(found.layer, found.head) for found in suspicions(rule, made)]


def suspicions(rule: str, made: Case) -> tuple[Suspicion, ...]:
    judgement = catalog.rules()[rule].judge(made)
    assert isinstance(judgement, tuple), judgement
    return judgement


HEAD_RULES = {
    "static_head": ("input_divergence", [[0.7, 0.02], [0.9, 0.8]]),
    "collapsed_head": ("fixed_column_mass", [[0.1, 0.97], [0.2, 0.25]]),
    "duplicate_head": ("twin_similarity", [[0.999, 0.999], [0.8, 0.8]]),
}


@pytest.mark.parametrize("rule", HEAD_RULES)
def test_a_head_is_flagged_on_all_kinds_of_text_or_not_at_all(rule: str) -> None:
    """What prose shows and code does not is no property of the head."""
    metric, values = HEAD_RULES[rule]
    healthy = [[0.5, 0.5], [0.5, 0.5]]

    assert (0, 1) in flagged(rule, built(rule, {metric: values}))
    assert not [place for place in flagged(rule, built(rule, {metric: values})) if place[0] == 1]
    assert flagged(rule, built(rule, {metric: (values, healthy)})) == []


@pytest.mark.parametrize(
    "rule", [*HEAD_RULES, "dormant_head", "lazy_layer", "redundant_layer", "attention_as_mlp"]
)
def test_a_rule_without_its_measurement_says_so(rule: str) -> None:
    """Not measured, with the metric's name; the random control counts as nothing."""
    judgement = catalog.rules()[rule].judge(built(rule, {"attention_entropy": [[0.5, 0.5]]}))
    assert isinstance(judgement, NotMeasured)
    assert "measured" in judgement.reason


def test_a_static_head_is_shown_beside_its_shuffled_null() -> None:
    """Value, null and threshold stand together."""
    made = built(
        "static_head",
        {"input_divergence": [[0.7, 0.02], [0.9, 0.8]], "shuffled_divergence": [[1.0, 0.98], [1.0, 1.0]]},
    )
    (found,) = suspicions("static_head", made)
    assert [(e.value, e.null, e.threshold) for e in found.evidence] == [(0.02, 0.98, 0.1)] * 2
    assert found.confirmation is None


def test_twins_name_each_other_and_shared_keys() -> None:
    """A pair by head; grouped queries are mentioned, because they make outputs alike."""
    grouped = tuple(replace(layer, kv_heads=1) for layer in layers(2, 2))
    made = built("duplicate_head", {"twin_similarity": [[0.999, 0.999], [0.1, 0.1]]}, coverage=grouped)
    first, second = suspicions("duplicate_head", made)
    assert "as head 1 does" in first.statement
    assert "as head 0 does" in second.statement
    assert "share keys and values" in first.statement


def test_one_head_per_layer_has_no_twin() -> None:
    """The rule has no meaning there."""
    made = built("duplicate_head", {"twin_similarity": [[0.5], [0.5]]}, coverage=layers(1, 1))
    assert isinstance(catalog.rules()["duplicate_head"].judge(made), NotApplicable)


def dormant(**changes: Any) -> Case:
    """Head (1, 0) puts out a tenth of the mean head, on a sink that leaves nothing of a shape, unless changed."""
    values = {
        "head_output_norm": [[1.0, 1.0, 0.9], [0.1, 1.3, 1.6]],
        "sink_mass": [[0.1, 0.1, 0.1], [0.97, 0.1, 0.1]],
        "attention_entropy_without_sinks": [[0.7] * 3, [0.9, 0.7, 0.7]],
        "offset_mass": [[0.1] * 3, [0.005, 0.1, 0.1]],
    }
    return built("dormant_head", values | changes, coverage=layers(3, 3))


def test_a_head_that_is_quiet_on_both_kinds_of_text_looks_dormant() -> None:
    """By the published threshold and among the lowest of the model, whose quantile is shown as the null."""
    (found,) = suspicions("dormant_head", dormant())
    assert (found.layer, found.head, found.severity) == (1, 0, None)
    assert "looks dormant" in found.statement
    assert found.evidence[0].null == 0.1


@pytest.mark.parametrize(
    "shape",
    [
        {"attention_entropy_without_sinks": [[0.7] * 3, [0.1, 0.7, 0.7]]},
        {"offset_mass": [[0.1] * 3, [0.02, 0.1, 0.1]]},
        {"head_output_norm": [[1.0, 1.0, 0.9], [0.5, 1.3, 1.2]]},
    ],
    ids=["sharp beside its sink", "positional beside its sink", "quiet but not dormant"],
)
def test_a_benign_sink_is_not_dormant(shape: dict[str, Any]) -> None:
    """A head that rests on a sink and wakes for some tokens is what sinks are for."""
    assert flagged("dormant_head", dormant(**shape)) == []


def test_a_sink_that_leaves_nothing_has_no_shape_beside_it() -> None:
    """What the sink itself gives each offset is not the pattern of a head that waits for its cue."""
    shape = {"sink_mass": [[0.1] * 3, [0.99, 0.1, 0.1]], "offset_mass": [[0.1] * 3, [0.016, 0.1, 0.1]]}
    assert flagged("dormant_head", dormant(**shape)) == [(1, 0)]


def test_a_head_that_would_say_nothing_on_its_cue_is_dormant() -> None:
    """A fifth of the mass stands on its place already: were it all of it, the head would still be quiet."""
    shape = {"sink_mass": [[0.1] * 3, [0.8, 0.1, 0.1]], "offset_mass": [[0.1] * 3, [0.15, 0.1, 0.1]]}
    quiet = {"head_output_norm": [[1.0, 1.0, 0.9], [0.035, 1.3, 1.6]]}
    assert flagged("dormant_head", dormant(**shape)) == []
    assert flagged("dormant_head", dormant(**shape, **quiet)) == [(1, 0)]


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([[1.0, 1.0, 1.0], [0.1, 1.0, 1.2]], [(1, 0)]),
        ([[1.0, 1.0, 1.0], [0.9, 1.0, 1.2]], []),
        ([[1.0, 1.0, 1.0], [0.0, 1.0, 1.2]], []),
    ],
    ids=["muted", "as large as the others", "zero is dead"],
)
def test_a_head_that_its_output_projection_mutes_is_dormant(
    slices: list[list[float]], expected: list[tuple[int, int]]
) -> None:
    """Loud before W_O and silent behind it: nothing that it sees can wake it, whatever shape its pattern has."""
    loud = {
        "head_output_norm": [[1.0, 1.0, 0.9], [1.1, 1.3, 1.6]],
        "attention_entropy_without_sinks": [[0.7] * 3, [0.1, 0.7, 0.7]],
    }
    made = dormant(**loud)
    weights = {"output_weight_norm": {"weights": measured(slices)}}
    made = replace(made, measurements={**made.measurements, **weights})
    assert flagged("dormant_head", made) == expected


def test_a_head_that_wakes_on_code_is_a_remark() -> None:
    """Quiet on prose, active on code: info, and no more."""
    awake = [[1.0, 1.0, 0.9], [0.9, 1.0, 1.2]]
    (found,) = suspicions(
        "dormant_head", dormant(head_output_norm=([[1.0, 1.0, 0.9], [0.1, 1.3, 1.6]], awake))
    )
    assert found.severity == "info"
    assert "quiet on prose and active on code" in found.statement
    assert found.severity == "info"
    assert found.confirmation is not None
    assert "nothing is to be taken out" in found.confirmation.reason


def test_one_kind_of_text_cannot_tell_dormant_heads() -> None:
    """Not measured, and the reason names what was fed."""
    judgement = catalog.rules()["dormant_head"].judge(
        built("dormant_head", {"head_output_norm": [[1.0, 0.1], [1.0, 1.0]]}, probes=("prose",))
    )
    assert isinstance(judgement, NotMeasured)
    assert "one kind of text only (prose)" in judgement.reason


def test_a_dead_head_is_not_called_dormant() -> None:
    """An output of zero is dead_head's."""
    assert flagged("dormant_head", dormant(head_output_norm=[[1.0, 1.0, 0.9], [0.0, 1.3, 1.6]])) == []


def test_no_model_loses_its_quietest_heads_for_being_the_quietest() -> None:
    """A lowest 15% there always is: the absolute threshold spares it."""
    assert flagged("dormant_head", dormant(head_output_norm=[[0.9, 1.0, 1.1], [0.8, 1.1, 1.1]])) == []


@pytest.mark.parametrize(
    ("rank", "influence", "expected"),
    [
        ([[1.2, 1.0], [9.0, 1.0]], [0.01, 0.01], [(0, None)]),
        ([[1.2, 1.0], [9.0, 1.0]], [0.10, 0.01], []),
        ([[1.2, 3.0], [9.0, 1.0]], [0.01, 0.01], []),
    ],
    ids=["lazy", "rank one but at work", "one head of rank three"],
)
def test_a_lazy_layer_has_no_head_of_rank_and_turns_nothing(
    rank: list[list[float]], influence: list[float], expected: list[tuple[int, None]]
) -> None:
    """Rank one alone is a sink or an average; it takes both."""
    made = built("lazy_layer", {"attention_rank": rank, "attention_influence": influence})
    assert flagged("lazy_layer", made) == expected


def test_a_lazy_layer_shows_the_published_protocol_and_its_null() -> None:
    """MaxRank stands beside what the layer was judged by; random scores give the null."""
    values = {"attention_rank": [[1.2, 1.0]], "attention_influence": [0.01], "max_rank_100": [1.4]}
    null = Null(how="random", value=[[40.0, 41.0]])
    made = replace(
        built("lazy_layer", values, coverage=layers(2)), nulls={"attention_rank": {"random_scores": null}}
    )
    (found,) = suspicions("lazy_layer", made)
    assert [e.metric for e in found.evidence[:3]] == ["attention_rank", "attention_influence", "max_rank_100"]
    assert found.evidence[0].null == 40.0


def test_a_redundant_block_leaves_tokens_as_they_were() -> None:
    """0.005 is next to nothing, 0.03 is a quiet block of a healthy model."""
    assert flagged("redundant_layer", built("redundant_layer", {"block_influence": [0.005, 0.03]})) == [
        (0, None)
    ]


@pytest.mark.parametrize(
    ("mixing", "share", "influence", "expected"),
    [
        ([[0.05, 0.1], [0.1, 0.9]], [0.4, 0.4], [0.02, 0.02], [(0, None)]),
        ([[0.9, 0.9], [0.9, 0.9]], [0.4, 0.005], [0.02, 1e-5], [(1, None)]),
        ([[0.9, 0.9], [0.9, 0.9]], [0.4, 0.005], [0.02, 0.02], []),
        ([[0.9, 0.9], [0.9, 0.9]], [0.4, 0.06], [0.02, 0.004], []),
    ],
    ids=["own token only", "adds nothing", "beside a huge MLP", "healthy"],
)
def test_attention_that_mixes_nothing_or_adds_nothing_looks_like_an_mlp(
    mixing: list[list[float]], share: list[float], influence: list[float], expected: list[tuple[int, None]]
) -> None:
    """Every head local, or the whole sublayer silent; one head that mixes is enough to spare a layer."""
    values = {"mixing_ratio": mixing, "attention_share": share, "attention_influence": influence}
    assert flagged("attention_as_mlp", built("attention_as_mlp", values, spread=1e-5)) == expected


def test_a_uniform_head_is_shown_beside_the_untrained_model() -> None:
    """The null is the upper tail of the re-initialised heads; without that run there is none."""
    values = {"attention_entropy": [[0.5, 0.999], [0.5, 0.5]]}
    null = Null(how="fresh", value=0.998, low=0.997, high=0.9991)
    made = built("uniform_head", values)
    (bare,) = suspicions("uniform_head", made)
    (beside,) = suspicions(
        "uniform_head", replace(made, nulls={"attention_entropy": {"reinitialised": null}})
    )
    assert (bare.evidence[0].null, beside.evidence[0].null) == (None, 0.9991)


@pytest.mark.parametrize("rule", ["lazy_layer", "redundant_layer", "attention_as_mlp", "dormant_head"])
def test_a_suspicion_does_not_claim_what_only_ablation_can(rule: str) -> None:
    """Before confirmation a sentence says how it looks."""
    cases = {
        "lazy_layer": {"attention_rank": [[1.0, 1.0]], "attention_influence": [0.0]},
        "redundant_layer": {"block_influence": [0.0]},
        "attention_as_mlp": {"mixing_ratio": [[0.0, 0.0]], "attention_share": [0.4]},
    }
    made = dormant() if rule == "dormant_head" else built(rule, cases[rule], coverage=layers(2))
    (found,) = suspicions(rule, made)
    assert "look" in found.statement
    assert found.confirmation is None
