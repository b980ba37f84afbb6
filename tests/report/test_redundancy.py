"""What the model could do without: costs with intervals and decisions, drop curves, heads that write alike."""

import json
from dataclasses import replace
from typing import Any

import pytest

from audit.report.html import render_html
from audit.report.nulls import nulls
from audit.report.redundancy import redundancy
from audit.report.redundancy_charts import matrices
from audit.results import Ablation, Audit, Confirmation, Exhibit, Measurement, Null
from audit.results.redundancy import DropCurve, Saved, Step
from tests.report.example import digest, example_audit, write_exhibits

MATRIX = [[1.0, 0.95, 0.1], [0.95, 1.0, 0.2], [0.1, 0.2, 1.0]]
CONTENT: dict[str, Any] = {
    "probe": "prose",
    "samples": 8,
    "measure": "CKA of head outputs",
    "linked": 0.9,
    "layers": [{"layer": layer, "kv_heads": 3, "matrix": MATRIX} for layer in (0, 2)],
    "between": [[1.0, 0.4], [0.4, 1.0]],
    "clusters": [[[0, 0], [0, 1], [2, 1]]],
}


def step(count: int, *, effect: float | None, harmless: bool | None) -> Step:
    return Step(
        dropped=count,
        layer=5 - count,
        influence=0.01,
        effect=effect,
        low=None if effect is None or harmless is None else effect - 0.001,
        high=None if effect is None or harmless is None else effect + 0.001,
        n=32,
        harmless=harmless,
        saved=Saved(
            parameters=1_000 * count,
            parameters_share=0.025 * count,
            flops_per_token=10.0,
            flops_share=0.031,
            cache_bytes_per_token=512.0,
            cache_share=0.04,
        ),
    )


def curve(*steps: Step, harmless: int, absent: str | None = None) -> DropCurve:
    return DropCurve(
        kind="blocks",
        metric="block_influence",
        measure="next-token loss",
        unit="nats per token",
        level=3.2,
        margin=0.01,
        of=6,
        steps=steps,
        harmless=harmless,
        passes=4.0,
        absent=absent,
    )


def tried(audit: Audit) -> Audit:
    """Its first finding confirmed, with a second replacement, and what the budget left out."""
    cost = {"effect": 0.002, "low": -0.001, "high": 0.004, "p": 0.001, "n": 32, "by_probe": {}}
    details = {**cost, "replacement": "mean", "gain": False, "matters": False, "others": {"zero": cost}}
    said = Confirmation(status="confirmed", reason="inside the margin", details=details)
    idle = Confirmation(
        status="not_confirmed",
        reason="it matters",
        details={**details, "effect": 0.3, "low": 0.2, "high": 0.4, "matters": True, "others": {}},
    )
    first = replace(audit.findings[0], confirmation=said)
    second = replace(audit.findings[0], id="other", head=1, statement="head 1 looks idle", confirmation=idle)
    return replace(
        audit,
        findings=(first, second),
        ablation=Ablation(
            measure="next-token loss",
            unit="nats per token",
            level=3.2,
            margin=0.01,
            documents=32,
            left_out=("head 2 of layer 1: uniform",),
            together=cost,
            rounding=0.004,
            passes=7.5,
        ),
    )


def block(audit: Audit, folder, medium="print"):
    return redundancy(audit, folder, medium=medium, shown=list(audit.findings))


def with_similarity(audit: Audit, folder, **changes: Any) -> Audit:
    data = json.dumps(CONTENT | changes).encode()
    (folder / "exhibits").mkdir(parents=True, exist_ok=True)
    (folder / "exhibits" / "similarity.json").write_bytes(data)
    exhibit = Exhibit(
        id="similarity",
        kind="similarity",
        finding=None,
        file="exhibits/similarity.json",
        sha256=digest(data),
    )
    return replace(audit, exhibits=(*audit.exhibits, exhibit))


def test_each_trial_has_effect_interval_and_decision(tmp_path):
    """The replacement that decided first, others below, and everything at once last."""
    found = block(tried(example_audit()), tmp_path).ablations
    assert [(t.subject, t.replacement, t.decision) for t in found.trials] == [
        ("Layer 3, head 7", "held at its mean over other texts", "Confirmed"),
        ("", "silenced", ""),
        ("Layer 3, head 1", "held at its mean over other texts", "Not confirmed"),
        ("All that was confirmed", "at once", "Inside the margin"),
    ]
    assert found.trials[0].effect == "0.002 [-0.001, 0.004]"
    assert found.left_out == ("head 2 of layer 1: uniform",)
    assert [row.text for row in found.matter] == ["Head 1 looks idle."]
    facts = {row.label: row.text for row in found.facts}
    assert facts["Margin"].startswith("0.01:")
    assert "bfloat16" in facts["Yardstick"]
    assert facts["Cost"].startswith("7.5 plain passes")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, "begins at depth standard"), ({"drop_curves": (curve(harmless=0),)}, "no finding asks for it")],
)
def test_where_nothing_was_taken_out_the_page_says_why(tmp_path, changes, words):
    """By depth, or because nothing was flagged."""
    audit = replace(example_audit(), findings=(), ablation=None, **changes)
    assert words in block(audit, tmp_path).ablations.note


def test_what_could_not_be_measured_is_said_once(tmp_path):
    """One reason for all findings."""
    audit = example_audit()
    said = Confirmation(status="not_attempted", reason="the loss is not better than chance")
    findings = tuple(replace(finding, confirmation=said) for finding in audit.findings)
    ablation = replace(tried(audit).ablation, measure=None, margin=None)
    found = block(replace(audit, findings=findings, ablation=ablation), tmp_path).ablations
    assert found.note == "Nothing was taken out: the loss is not better than chance."
    assert found.facts == ()


def test_a_curve_says_how_many_can_go_and_what_that_saves(tmp_path):
    """Summary, picture, and a row per step."""
    drawn = curve(step(1, effect=0.001, harmless=True), step(2, effect=0.05, harmless=False), harmless=1)
    (found,) = block(replace(example_audit(), drop_curves=(drawn,)), tmp_path, "screen").curves
    assert found.summary.startswith(
        "The first 1 of 6 blocks can go inside the margin, 2.5% of the parameters"
    )
    assert found.figure.picture.light
    assert found.table.rows[1] == (
        "2",
        "3",
        "0.05 [0.049, 0.051]",
        "no",
        "-5.0% (2,000)",
        "-3.1%",
        "-4.0% (512 bytes a token)",
    )


def test_print_has_the_first_steps_of_a_curve_and_the_last(tmp_path):
    """The picture has them all."""
    drawn = curve(*(step(n, effect=0.1 * n, harmless=False) for n in range(1, 10)), harmless=0)
    audit = replace(example_audit(), drop_curves=(drawn,))
    rows = {
        m: [row[0] for row in block(audit, tmp_path, m).curves[0].table.rows] for m in ("print", "screen")
    }
    assert rows == {"print": list("12349"), "screen": list("123456789")}


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (curve(step(1, effect=0.05, harmless=False), harmless=0), "is not surely inside the margin"),
        (curve(step(1, effect=0.0, harmless=None), harmless=0), "has too few documents"),
        (curve(step(1, effect=None, harmless=False), harmless=0), "is not surely inside"),
        (curve(harmless=0, absent="why not"), "Not measured: why not."),
    ],
)
def test_a_curve_without_a_harmless_step_says_so(tmp_path, drawn, words):
    """Undecided, harmful, not finite and absent are told apart."""
    (found,) = block(replace(example_audit(), drop_curves=(drawn,)), tmp_path).curves
    assert words in found.summary
    assert (found.figure is None) == bool(drawn.absent)


def test_clusters_and_matrices_show_what_is_alike_with_what(tmp_path):
    """Members by layer and head; the most similar pair in words."""
    found = block(with_similarity(example_audit(), tmp_path), tmp_path).likeness
    assert found.summary.startswith("3 heads in 1 cluster write alike: a likeness of at least 0.9.")
    assert found.clusters.rows == (("3", "0.0, 0.1, 2.1"),)
    within, across = found.figures
    assert "heads 0 and 1 of layer 2, with 0.95" in within.alt or "heads 0 and 1 of layer 0" in within.alt
    assert "heads of layers 0 and 2, with 0.4" in across.alt


def test_each_matrix_is_that_of_its_own_layer():
    """Two layers that differ are drawn differently: a facet with data of its own would show all of them at once."""
    alike, apart = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]
    one = matrices([(2, alike), (10, apart)])
    assert one != matrices([(2, apart), (10, alike)])
    assert one != matrices([(2, alike), (10, alike)])


def test_a_large_model_shows_the_layers_most_alike(tmp_path):
    """Print bears so many cells; the rest is in the exhibit."""
    size = 100
    alike = [[1.0 if i == j else 0.5 for j in range(size)] for i in range(size)]
    apart = [[1.0 if i == j else 0.1 for j in range(size)] for i in range(size)]
    layers = [{"layer": n, "kv_heads": 1, "matrix": alike if n in (1, 3) else apart} for n in range(4)]
    audit = with_similarity(example_audit(), tmp_path, layers=layers, between=[[0.0] * 4] * 4, clusters=[])
    found = block(audit, tmp_path).likeness
    assert found.note == "2 layers with less likeness are in exhibits/similarity.json."
    assert found.summary.startswith("No two heads write alike")


def test_a_changed_or_missing_exhibit_is_not_drawn(tmp_path):
    """The reason stands where the pictures would."""
    audit = with_similarity(example_audit(), tmp_path)
    (tmp_path / "exhibits" / "similarity.json").write_text("{}")
    assert "changed after the audit" in block(audit, tmp_path).likeness.summary
    assert "one head, or too many" in block(example_audit(), tmp_path).likeness.summary


def test_the_page_holds_all_of_it(tmp_path):
    """Sections, anchors and tables, in the whole page."""
    audit = with_similarity(tried(example_audit()), tmp_path)
    audit = replace(audit, drop_curves=(curve(step(1, effect=0.001, harmless=True), harmless=1),))
    write_exhibits(replace(audit, exhibits=audit.exhibits[:1]), tmp_path)
    page = render_html(audit, tmp_path)
    for words in (
        "All that was confirmed",
        "Looks idle and matters",
        "What the budget left out",
        "0.0, 0.1, 2.1",
    ):
        assert words in page


@pytest.mark.parametrize("measured", [True, False])
def test_published_ranks_stand_beside_the_published_figures(tmp_path, measured):
    """A row per layer, how many sequences, and the paper's caption; or why there are none."""
    audit = example_audit(layers=3)
    values = Measurement(
        value=[34.0, 1.25, None],
        n=64,
        absent="no interval; 64 sequences of 100 tokens, not the published 100",
    )
    absent = Measurement(value=None, absent="no text of 100 tokens")
    method = replace(audit.methods["attention_entropy"], title="MaxRank", healthy="theirs: 2 to 34")
    audit = replace(
        audit,
        measurements={**audit.measurements, "max_rank_100": {"prose": values if measured else absent}},
        methods={**audit.methods, "max_rank_100": method},
    )
    found = block(audit, tmp_path).ranks
    if measured:
        assert found.summary == "64 sequences of 100 tokens, not the published 100."
        assert found.table.rows == (("0", "34"), ("1", "1.25"), ("2", "not measured"))
        assert [row.text for row in found.published] == ["theirs: 2 to 34"]
    else:
        assert found.summary == "Not measured: no text of 100 tokens."
    assert block(example_audit(), tmp_path).ranks is None


def test_nulls_are_defined_with_what_they_read():
    """Each with formula, source and limits; a null of a later version with what it says itself."""
    grid = Null(how="Gaussian scores", value=[[0.5, None], [0.7, 0.9]], n=8)
    audit = replace(
        example_audit(),
        nulls={
            "attention_entropy": {
                "random_scores": grid,
                "reinitialised": Null(how="anew", value=None, absent="too large"),
                "later": Null(how="some way", value=0.3, low=0.1, high=0.4, n=3),
            }
        },
    )
    later, scores, anew = nulls(audit)
    assert scores.rows[0].text == "attention_entropy 0.7 [0.5, 0.9]"
    assert {row.label for row in scores.rows} == {"Reads", "Source", "Limits"}
    assert scores.formula
    assert anew.rows[0].text == "attention_entropy absent"
    assert anew.rows[1].text == "Too large."
    assert later.rows[0].text == "attention_entropy 0.3 [0.1, 0.4]"
