"""Two audits: what changed is found and nothing else, depths are aligned, strangers are refused."""

import dataclasses
import json

import msgspec
import numpy as np
import pytest
from jinja2 import meta, nodes

from audit.compare.comparing import compare
from audit.compare.records import Comparison
from audit.errors import NotComparable, UnusableInput
from audit.report import comparison as reports
from audit.report import comparison_page, templating
from tests.browser import written
from tests.compare.published import publish, samples
from tests.report.example import example_audit


@pytest.fixture
def moved(tmp_path):
    """One head of 4 x 6 changed by 0.2, the rest measured again with noise of texts only."""
    values = samples(4, 6)
    noise = np.random.default_rng(1)
    other = {name: array + 0.01 * noise.standard_normal(array.shape) for name, array in values.items()}
    other["attention_entropy"][:, 2, 3] -= 0.2
    return publish(tmp_path / "a", values), publish(tmp_path / "b", other)


def test_the_head_that_moved_is_found_and_no_other(moved):
    """With its sign and an interval around the truth."""
    found = compare(*moved)
    entropy = found.differences["attention_entropy"]["prose"]
    assert entropy.changed[0] == (2, 3)
    assert found.changed <= 2  # of 28: a false discovery may happen, a wealth of them may not
    assert entropy.low[2][3] < -0.2 < entropy.high[2][3]
    assert found.tested == 28
    assert not found.regressions


def test_pairing_finds_what_independent_samples_would_not(tmp_path):
    """Texts differ by 0.05; a shift of 0.01 on every text is far below that and certain all the same."""
    values = samples(2, 2)
    other = {name: array.copy() for name, array in values.items()}
    other["attention_entropy"][:, 0, 1] += 0.01 + 0.001 * np.random.default_rng(2).standard_normal(32)
    found = compare(publish(tmp_path / "a", values), publish(tmp_path / "b", other))
    assert found.differences["attention_entropy"]["prose"].changed == ((0, 1),)


def test_noise_alone_changes_nothing(tmp_path):
    """Over 20 comparisons of 28 cells in which nothing happened, hardly one is called changed."""
    changed = 0
    for seed in range(20):
        values, noise = samples(4, 6, seed=seed), np.random.default_rng(100 + seed)
        other = {name: array + 0.05 * noise.standard_normal(array.shape) for name, array in values.items()}
        found = compare(publish(tmp_path / f"a{seed}", values), publish(tmp_path / f"b{seed}", other))
        changed += found.changed > 0
    assert changed <= 4  # 5% of the comparisons on average


def test_an_audit_against_itself(tmp_path):
    """Nothing changed, and it says so."""
    folder = publish(tmp_path / "a", samples(2, 3))
    found = compare(folder, folder)
    assert found.changed == 0
    assert {each.state for each in found.findings} == {"unchanged"}
    assert reports.headline(found) == "Nothing changed beyond chance."


def test_differences_within_the_precision_of_an_audit_are_none(tmp_path):
    """Another batch size shifts every sample by a hair in the same direction."""
    values = samples(2, 3)
    other = {name: array * (1 + 2e-5) for name, array in values.items()}
    assert compare(publish(tmp_path / "a", values), publish(tmp_path / "b", other)).changed == 0


def test_certain_and_too_small_to_matter(tmp_path):
    """Weights stored in another precision move every text alike, by far less than heads differ from each other."""
    values = samples(4, 6)
    spread = values["attention_entropy"].mean(0).std()
    for share, expected in ((0.005, 0), (0.05, 24)):
        other = values | {"attention_entropy": values["attention_entropy"] + share * spread}
        found = compare(publish(tmp_path / f"a{share}", values), publish(tmp_path / f"b{share}", other))
        assert found.changed == expected


def test_few_samples_give_no_test(tmp_path):
    """Absent with a reason."""
    values = samples(2, 3, count=8)
    found = compare(publish(tmp_path / "a", values), publish(tmp_path / "b", values))
    entropy = found.differences["attention_entropy"]["prose"]
    assert entropy.q is None
    assert entropy.absent == "8 paired samples are too few (16 are needed)"
    assert found.tested == 0


@pytest.mark.parametrize("left_out", [0, 2, 5])
def test_a_layer_that_was_left_out_is_recognised(tmp_path, left_out):
    """The layers of the pruned model are counted anew; in the other direction the layer is new."""
    values = samples(6, 4)
    noise = np.random.default_rng(3)
    pruned = {
        name: np.delete(array, left_out, axis=1)
        + 0.02 * noise.standard_normal(np.delete(array, left_out, axis=1).shape)
        for name, array in values.items()
    }
    a, b = publish(tmp_path / "a", values, findings=()), publish(tmp_path / "b", pruned, findings=())
    alignment = compare(a, b).alignment
    kept = [layer for layer in range(6) if layer != left_out]
    assert alignment.pairs == tuple(zip(kept, range(5), strict=True))
    assert alignment.gone == (left_out,)
    back = compare(b, a).alignment
    assert back.pairs == tuple(zip(range(5), kept, strict=True))
    assert back.new == (left_out,)


def test_findings_follow_their_layer(tmp_path):
    """A finding at a layer that is now counted one lower is the same; one of the layer that went, went with it."""
    values = samples(6, 12)
    example = example_audit(layers=6, heads=12)
    collapse = example.findings[0]  # layer 3, head 7
    early = dataclasses.replace(collapse, id="entropy_collapse-l001-h007", layer=1)
    moved = dataclasses.replace(collapse, id="entropy_collapse-l002-h007", layer=2)
    pruned = {name: np.delete(array, 1, axis=1) for name, array in values.items()}
    a = publish(tmp_path / "a", values, findings=(collapse, early))
    b = publish(tmp_path / "b", pruned, findings=(moved,))
    found = {(each.state, each.layer): each for each in compare(a, b).findings}
    assert found.keys() == {("unchanged", 2), ("gone", 1)}
    assert found["gone", 1].note == "its layer has no counterpart"


def _with(tmp_path, name, **changes):
    return publish(tmp_path / name, samples(6, 12), **changes)


def test_a_new_failing_finding_is_a_regression(tmp_path):
    """Also one that was milder; a milder one is none."""
    example = example_audit()
    collapse = example.findings[0]
    failing = dataclasses.replace(collapse, severity="fail")
    none, mild, bad = (
        _with(tmp_path, name, findings=findings, verdict="watch")
        for name, findings in (("none", ()), ("mild", (collapse,)), ("bad", (failing,)))
    )
    assert compare(none, bad).findings[0].state == "new"
    assert compare(mild, bad).findings[0].state == "worse"
    assert all(compare(before, bad).regressions for before in (none, mild))
    assert compare(bad, mild).findings[0].state == "milder"
    assert not compare(bad, mild).regressions
    assert not compare(none, mild).regressions
    assert compare(bad, none).findings[0].state == "gone"


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("pass", "watch", True),
        ("watch", "fail", True),
        ("pass", "inconclusive", True),
        ("fail", "inconclusive", False),
        ("watch", "pass", False),
    ],
)
def test_a_worse_verdict_is_a_regression(tmp_path, before, after, worse):
    """Pass, watch, inconclusive, fail."""
    found = compare(_with(tmp_path, "a", verdict=before), _with(tmp_path, "b", verdict=after))
    assert bool(found.regressions) == worse


def test_strangers_are_refused_with_the_reason(tmp_path):
    """Other sampling, other texts, other windows, other metrics."""
    example = example_audit()
    a = _with(tmp_path, "a")
    (probe,) = example.coverage.probes

    def fed(**changes):
        return dataclasses.replace(example.coverage, probes=(dataclasses.replace(probe, **changes),))

    for name, changes, said in (
        ("seed", {"plan": example.plan | {"seed": 1}}, "seed 0 before, 1 after"),
        ("texts", {"coverage": fed(digest="f" * 64)}, "'prose' holds other texts"),
        ("cut", {"coverage": fed(tokens=4000)}, "another tokenizer"),
        ("name", {"coverage": fed(name="code")}, "prose before, code after"),
        ("metrics", {"measurements": {"sink_mass": example.measurements["sink_mass"]}}, "no metric"),
    ):
        with pytest.raises(NotComparable, match="not comparable: .*") as refused:
            compare(a, _with(tmp_path, name, **changes))
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)


def test_another_schema_and_an_edited_audit(tmp_path):
    """The first cannot be compared, the second cannot be used."""
    a, other, edited = (_with(tmp_path, name) for name in ("a", "other", "edited"))
    data = json.loads((other / "audit.json").read_text()) | {"schema_version": "0.9"}
    (other / "audit.json").write_text(json.dumps(data))
    with pytest.raises(NotComparable, match="schema"):
        compare(a, other)
    (edited / "measurements.parquet").write_bytes((edited / "measurements.parquet").read_bytes() + b"x")
    with pytest.raises(UnusableInput, match="measurements.parquet"):
        compare(a, edited)


def test_other_policies_are_remarked(tmp_path):
    """For the findings may differ for that alone."""
    policy = dataclasses.replace(example_audit().policy, name="strict", digest="0" * 64)
    found = compare(_with(tmp_path, "a"), _with(tmp_path, "b", policy=policy))
    assert "judged by different policies (default before, strict after)" in found.remarks[0]


def test_the_record_survives_json(moved):
    """And is the same bytes each time."""
    found = compare(*moved)
    data = msgspec.json.encode(found)
    assert msgspec.json.decode(data, type=Comparison) == found
    assert msgspec.json.encode(compare(*moved)) == data
    assert b"NaN" not in data


@pytest.mark.parametrize("medium", ["screen", "print"])
def test_the_page_shows_what_moved(moved, medium):
    """The place, a ring on it in words, and no address outside the page."""
    html = reports.drawn(compare(*moved), medium)
    assert "layer 2, head 3" in html
    assert "Attention entropy" in html
    assert "http" not in html.partition("</style>")[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, moved, tmp_path, scheme):
    """No violation of any rule of axe-core, and nothing wider than a telephone."""
    page = written(reports.drawn(compare(*moved), "screen"), tmp_path)
    assert browser.violations(page, scheme) == []
    _, lines, found = browser.open(page, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert lines == []
    assert found["width"] <= 0


def test_names_are_inert(tmp_path):
    """A folder called like a script."""
    provenance = dataclasses.replace(example_audit().provenance, path="<script>alert(1)</script>")
    html = reports.drawn(compare(_with(tmp_path, "a"), _with(tmp_path, "b", provenance=provenance)), "screen")
    assert "<script" not in html


def test_the_template_uses_every_field_and_no_other():
    """The page's record is the contract of the template."""
    environment = templating.environment()
    used = set()
    for name in ("comparison.html", "base.html", "parts/masthead.html"):
        source = environment.loader.get_source(environment, name)[0]
        used |= meta.find_undeclared_variables(environment.parse(source))
    assert used - {"edition"} == set(reports.ComparisonPage.__dataclass_fields__)
    source = environment.loader.get_source(environment, "comparison.html")[0]
    shown = {node.attr for node in environment.parse(source).find_all(nodes.Getattr)}
    for record in (comparison_page.ChangeLine, comparison_page.MetricBlock):
        assert set(record.__dataclass_fields__) <= shown


def test_the_command(moved, attnaudit, tmp_path):
    """Text, JSON, files and exit codes."""
    ran = attnaudit(
        "compare", *moved, "-o", tmp_path / "c.html", "-o", tmp_path / "c.pdf", "-o", tmp_path / "c.json"
    )
    assert ran.code == 0
    assert "layer 2, head 3:" in ran.out
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "c.html").read_text("utf-8").startswith("<!doctype html>")
    printed = attnaudit("compare", *moved, "--json").out
    assert printed == (tmp_path / "c.json").read_text("utf-8")
    failing = dataclasses.replace(example_audit().findings[0], severity="fail")
    bad = publish(tmp_path / "bad", samples(4, 6), findings=(failing,), verdict="fail")
    assert attnaudit("compare", moved[0], bad).code == 1
    stranger = publish(tmp_path / "stranger", samples(4, 6), plan=example_audit().plan | {"samples": 64})
    refused = attnaudit("compare", moved[0], stranger)
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.count("\n") == 1
    assert attnaudit("compare", moved[0], tmp_path / "nothing").code == 2
    assert attnaudit("compare", *moved, "-o", tmp_path / "c.docx").code == 2
