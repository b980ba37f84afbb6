"""What goes is what was confirmed, in the way it was confirmed; anything else must be named."""

from dataclasses import replace
from typing import Any

import pytest

from audit.errors import UnusableInput
from audit.interventions.choice import confirmed_parts, named_parts
from audit.results import Audit, Confirmation, Finding
from audit.results.redundancy import DropCurve, Saved, Step
from tests.interventions.subjects import finding
from tests.report.example import example_audit

NOTHING_SAVED = Saved(
    parameters=1,
    parameters_share=0.1,
    flops_per_token=1.0,
    flops_share=0.1,
    cache_bytes_per_token=None,
    cache_share=None,
)


def confirmed(
    rule: str, layer: int, head: int | None = None, *, replacement: str, **others: float
) -> Finding:
    """A confirmed finding; `others` are the upper bounds of other replacements."""
    details: dict[str, Any] = {"margin": 0.01, "replacement": replacement, "high": 0.005}
    details["others"] = {name: {"high": high} for name, high in others.items()}
    made = Confirmation(status="confirmed", reason="", details=details)
    return replace(finding(rule, layer, head), confirmation=made)


def audit_of(*findings: Finding, curves: tuple[DropCurve, ...] = ()) -> Audit:
    return replace(example_audit(), findings=findings, drop_curves=curves)


def curve(layers: list[int], *, harmless: int) -> DropCurve:
    """A drop curve of blocks."""
    steps = tuple(
        Step(
            dropped=count + 1,
            layer=layer,
            influence=0.1,
            effect=0.0,
            low=0.0,
            high=0.0,
            n=32,
            harmless=count < harmless,
            saved=NOTHING_SAVED,
        )
        for count, layer in enumerate(layers)
    )
    return DropCurve(kind="blocks", metric="block_influence", of=6, steps=steps, harmless=harmless)


def test_each_rule_names_its_part() -> None:
    """Blocks go, attention and heads are silenced; what is not confirmed stays."""
    found = confirmed_parts(
        audit_of(
            confirmed("redundant_layer", 4, replacement="skip"),
            confirmed("lazy_layer", 3, replacement="skip"),
            confirmed("dormant_head", 1, 2, replacement="mean", zero=0.004),
            finding("uniform_head", 0, 1),
        )
    )
    assert set(found.blocks) == {4}
    assert set(found.attention) == {3}
    assert set(found.heads) == {(1, 2)}
    assert found.heads[1, 2] == "confirmed by dormant_head-1-2"
    assert found.kept == ()


def test_what_holds_a_constant_stays_and_says_so() -> None:
    """Pruning silences; a head confirmed at its mean may be needed at its mean."""
    found = confirmed_parts(
        audit_of(
            confirmed("redundant_layer", 4, replacement="skip"),
            confirmed("static_head", 1, 2, replacement="mean", zero=0.02),
            confirmed("static_head", 1, 3, replacement="mean"),
            confirmed("attention_as_mlp", 2, replacement="uniform", skip=0.3),
        )
    )
    assert not found.heads
    assert not found.attention
    assert [line.split(":")[0] for line in found.kept] == [
        "static_head-1-2",
        "static_head-1-3",
        "attention_as_mlp-2",
    ]
    assert "holds a constant" in found.kept[0]
    assert "was not measured" in found.kept[1]


def test_the_harmless_beginning_of_the_drop_curve_goes() -> None:
    """As far as the curve stays inside the margin, and no further."""
    found = confirmed_parts(audit_of(curves=(curve([5, 2, 3], harmless=2),)))
    assert set(found.blocks) == {5, 2}
    assert "first 2 of 6 blocks" in found.blocks[2]


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        (audit_of(finding("dormant_head", 0, 0)), "took nothing out: run it at --depth standard"),
        (audit_of(curves=(curve([5], harmless=0),)), "confirmed nothing redundant, so there is nothing"),
        (audit_of(confirmed("static_head", 1, 2, replacement="mean", zero=0.02)), "holds a constant"),
    ],
)
def test_nothing_to_prune_is_said_with_what_to_do(audit: Audit, words: str) -> None:
    """One line that ends with the way out."""
    with pytest.raises(UnusableInput, match=words) as caught:
        confirmed_parts(audit)
    assert "--layers or --heads" in str(caught.value)


def test_named_parts_say_whether_they_were_confirmed() -> None:
    """The user decides; the output tells what the audit thinks of it."""
    audit = audit_of(confirmed("redundant_layer", 4, replacement="skip"))
    found = named_parts(audit, [4, 1], [(0, 2)])
    assert found.blocks == {4: "confirmed by redundant_layer-4", 1: "named; not confirmed by the audit"}
    assert found.heads == {(0, 2): "named; not confirmed by the audit"}
    assert named_parts(audit_of(), [1], []).blocks == {1: "named; not confirmed by the audit"}
