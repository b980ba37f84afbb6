"""Each rule flags what it is for, spares its healthy look-alike, and says when it could not judge."""

import pytest

from audit import catalog
from audit.definitions import NotApplicable, NotMeasured, Suspicion
from tests.rules.cases import case, layers, measured, subject

HEALTHY = [[0.6, 0.5], [0.4, 0.7]]


def flagged(rule, built) -> list[tuple[int | None, int | None]]:
    judgement = catalog.rules()[rule].judge(built)
    assert isinstance(judgement, tuple), judgement
    assert all(isinstance(item, Suspicion) for item in judgement)
    return [(item.layer, item.head) for item in judgement]


def entropy_case(**changes):
    """Head (1, 0) has an entropy of 0.02; everything else is healthy, unless changed."""
    values = {
        "attention_entropy": [[0.6, 0.5], [0.02, 0.7]],
        "attention_entropy_without_sinks": [[0.6, 0.5], [0.02, 0.7]],
        "sink_mass": [[0.1, 0.1], [0.1, 0.1]],
        "offset_mass": [[0.1, 0.1], [0.1, 0.1]],
    } | changes
    return case("entropy_collapse", {k: {"prose": measured(v, spread=0.01)} for k, v in values.items()})


def test_entropy_collapse_names_the_layer_and_the_head():
    """A head with almost no entropy that nothing explains is flagged, alone."""
    assert flagged("entropy_collapse", entropy_case()) == [(1, 0)]


@pytest.mark.parametrize(
    "explanation",
    [
        {"sink_mass": [[0.1, 0.1], [0.97, 0.1]]},
        {"attention_entropy_without_sinks": [[0.6, 0.5], [0.5, 0.7]]},
        {"offset_mass": [[0.1, 0.1], [0.99, 0.1]]},
        {"attention_entropy": [[0.6, 0.5], [0.095, 0.7]]},
    ],
    ids=["a sink", "spread beside the sink", "a previous-token head", "interval reaches the threshold"],
)
def test_entropy_collapse_spares_what_has_an_explanation(explanation):
    """Sinks, positional heads and uncertain values are not collapse."""
    assert flagged("entropy_collapse", entropy_case(**explanation)) == []


def test_entropy_collapse_needs_every_text_probe():
    """A head that is collapsed on prose and awake on code is not flagged."""
    both = {
        metric: {
            "prose": measured([[0.6, 0.5], [0.02, 0.7]] if "entropy" in metric else [[0.1] * 2] * 2),
            "code": measured(HEALTHY if "entropy" in metric else [[0.1] * 2] * 2),
        }
        for metric in ("attention_entropy", "attention_entropy_without_sinks", "sink_mass", "offset_mass")
    }
    assert flagged("entropy_collapse", case("entropy_collapse", both)) == []


def test_the_random_control_judges_nothing():
    """Behaviour is judged on text; with random tokens alone it was not measured."""
    built = case("entropy_collapse", {"attention_entropy": {"random": measured(HEALTHY)}})
    for rule in ("entropy_collapse", "uniform_head"):
        assert isinstance(catalog.rules()[rule].judge(built), NotMeasured)


def test_uniform_head_needs_the_whole_interval_above_the_threshold():
    """0.995 +- 0.001 is uniform, 0.995 +- 0.01 is not known to be."""
    for spread, expected in ((0.001, [(0, 1)]), (0.01, [])):
        values = measured([[0.6, 0.995], [0.4, 0.7]], spread=spread)
        assert (
            flagged("uniform_head", case("uniform_head", {"attention_entropy": {"prose": values}}))
            == expected
        )


def test_dead_head_by_silence_and_by_weights():
    """A silent output and a zero slice of W_O are each enough, and one head is flagged once."""
    built = case(
        "dead_head",
        {
            "head_output_norm": {"prose": measured([[1.0, 1.0], [0.0, 2.0]])},
            "output_weight_norm": {"weights": measured([[3.0, 0.0], [0.0, 3.0]], n=0)},
        },
    )
    assert flagged("dead_head", built) == [(0, 1), (1, 0)]


def test_a_quiet_head_is_not_dead():
    """A hundredth of the mean head is little, and not nothing."""
    built = case("dead_head", {"head_output_norm": {"prose": measured([[1.0, 1.0], [0.02, 1.98]])}})
    assert flagged("dead_head", built) == []


def depth_case(similarity, rank):
    return case(
        "rank_collapse_depth",
        {
            "token_similarity_without_sink": {"prose": measured(similarity)},
            "token_effective_rank": {"prose": measured(rank)},
        },
        coverage=layers(2, 2, 2),
    )


@pytest.mark.parametrize(
    ("similarity", "rank", "expected"),
    [
        ([0.4, 0.995, 0.999], [0.5, 0.03, 0.01], [(1, None)]),
        ([0.4, 0.995, 0.985], [0.5, 0.03, 0.03], [(1, None)]),
        ([0.4, 0.995, 0.97], [0.5, 0.03, 0.03], []),
        ([0.4, 0.995, 0.90], [0.5, 0.03, 0.2], []),
        ([0.4, 0.995, 0.999], [0.5, 0.6, 0.5], []),
    ],
    ids=[
        "to the end",
        "by a vector seven times as long",
        "as healthy models are",
        "recovered",
        "alike by a few channels only",
    ],
)
def test_rank_collapse_depth_needs_collapse_to_the_end_in_both_measures(similarity, rank, expected):
    """The onset is named; a passing or a merely anisotropic similarity is spared."""
    assert flagged("rank_collapse_depth", depth_case(similarity, rank)) == expected


def test_nonfinite_weights_are_named_and_counted():
    """The statement names tensors and the rest is counted."""
    tensors = tuple((f"layers.{i}.weight", i + 1) for i in range(5))
    (found,) = catalog.rules()["nonfinite_weights"].judge(
        case("nonfinite_weights", {}, of=subject(nonfinite=tensors))
    )
    assert "layers.0.weight (1)" in found.statement
    assert "2 more" in found.statement
    assert found.evidence[0].value == 15


def test_finite_weights_pass():
    """Nothing counted, nothing flagged."""
    assert flagged("nonfinite_weights", case("nonfinite_weights", {})) == []


def test_unobserved_layers_counts_softmax_attention_only():
    """A linear-attention layer (no heads) is no omission; a missed softmax layer is one, with its reason."""
    linear = case("unobserved_layers", {}, coverage=layers(2, 0, unobserved={1: "linear attention"}))
    assert flagged("unobserved_layers", linear) == []
    missed = case("unobserved_layers", {}, coverage=layers(2, 2, unobserved={1: "never ran"}))
    (found,) = catalog.rules()["unobserved_layers"].judge(missed)
    assert "1 of 2" in found.statement
    assert "never ran" in found.statement


def test_undertrained_positions_are_named():
    """The runs, as many rows as the policy says; a model without a table is not judged."""

    def of(**changes):
        return case("undertrained_positions", {}, of=subject(**changes))

    judge = catalog.rules()["undertrained_positions"].judge
    (found,) = judge(of(positions=512, untrained_positions=((256, 511),)))
    assert "256 of 512 positions (256 to 511)" in found.statement
    assert judge(of(positions=512)) == ()
    assert isinstance(judge(of()), NotApplicable)
