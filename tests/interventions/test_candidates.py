"""What is taken out for which finding, and in which order."""

from audit.interventions.ablation import Ablation
from audit.interventions.candidates import HEAD_RULES, LAYER_RULES, candidates
from tests.interventions.subjects import finding


def test_heads_are_held_at_their_mean_and_then_replaced_otherwise() -> None:
    """One replacement decides, three more are shown."""
    for rule in HEAD_RULES:
        (made,) = candidates([finding(rule, 3, 2)])
        assert [cut[0] for cut in made.cuts] == [
            Ablation(target="head", layer=3, heads=(2,), replacement="mean")
        ]
        assert [cut[0].replacement for cut in made.others] == ["zero", "uniform", "identity"]


def test_layers_are_skipped_and_token_local_attention_must_survive_three_replacements() -> None:
    """A lazy layer's attention, a redundant layer's block; attention as an MLP by mean, uniform and identity."""
    cuts = {rule: candidates([finding(rule, 1)])[0].cuts for rule in LAYER_RULES}
    assert [(c[0].target, c[0].replacement) for c in cuts["lazy_layer"]] == [("attention", "skip")]
    assert [(c[0].target, c[0].replacement) for c in cuts["redundant_layer"]] == [("block", "skip")]
    assert [(c[0].target, c[0].replacement) for c in cuts["attention_as_mlp"]] == [
        ("attention", "mean"),
        ("attention", "uniform"),
        ("attention", "identity"),
    ]


def test_rules_take_turns_so_that_no_rule_uses_up_the_budget() -> None:
    """Two dormant heads and one finding of another rule: the other comes second."""
    findings = [
        finding("dormant_head", 0, 0),
        finding("dormant_head", 0, 1),
        finding("static_head", 2, 0),
        finding("redundant_layer", 1),
    ]
    order = [made.finding.id for made in candidates(findings)]
    assert order == ["redundant_layer-1", "static_head-2-0", "dormant_head-0-0", "dormant_head-0-1"]


def test_what_no_ablation_can_bear_out_is_passed_over() -> None:
    """Absolute findings, findings about the whole model and rules of another kind."""
    passed = [
        finding("dead_head", 0, 0, absolute=True),
        finding("norm_placement", 0),
        finding("static_head", 0),
    ]
    assert candidates(passed) == []
