"""A series of audits: where a finding appears and a metric turns is found, and nothing where nothing happens."""

import dataclasses

import msgspec
import numpy as np
import pytest
from jinja2 import meta

from audit.compare.records import Trend
from audit.compare.trend import trend
from audit.errors import NotComparable, UnusableInput
from audit.report import templating
from audit.report import trend as reports
from tests.browser import written
from tests.compare.published import publish, samples
from tests.report.example import example_audit

LAYERS, HEADS = 6, 12
COLLAPSE = example_audit(layers=LAYERS, heads=HEADS).findings[0]


def _at(path):
    return dataclasses.replace(example_audit().provenance, path=path)


@pytest.fixture
def series(tmp_path):
    """Three checkpoints: at the third one head loses its entropy, and a finding appears."""
    values, chance = samples(LAYERS, HEADS), np.random.default_rng(5)
    folders = []
    for step in range(3):
        now = {name: array + 0.01 * chance.standard_normal(array.shape) for name, array in values.items()}
        if step == 2:
            now["attention_entropy"][:, 3, :] *= 0.5
            now["attention_entropy"][:, 3, 7] = 0.01
        folder = tmp_path / f"audit{step}"
        findings = (COLLAPSE,) if step == 2 else ()
        folders.append(publish(folder, now, findings=findings, provenance=_at(f"runs/checkpoint-{step}00")))
    return folders


def test_a_finding_is_dated_by_the_first_audit_that_has_it(series):
    """Under the name of its checkpoint."""
    found = trend(series)
    (finding,) = found.findings
    assert [step.label for step in found.steps] == ["checkpoint-000", "checkpoint-100", "checkpoint-200"]
    assert (finding.first, finding.severities) == (2, (None, None, "watch"))
    assert "the first at checkpoint-200" in reports.headline(found)


def test_a_mean_turns_where_it_does_and_not_before(series):
    """The mean with its sign, the lowest head by its place."""
    entropy = trend(series).courses["attention_entropy"]["prose"]
    assert [turn.changed for turn in entropy.turns] == [False, True]
    assert entropy.turns[1].high < 0
    lowest = entropy.lowest[2]
    assert (lowest.layer, lowest.head) == (3, 7)
    assert lowest.value == pytest.approx(0.01)
    influence = trend(series).courses["block_influence"]["prose"]
    assert not any(turn.changed for turn in influence.turns)
    assert influence.lowest[0].head is None


def test_the_mean_is_the_mean(series):
    """Of all heads over all samples."""
    values = samples(LAYERS, HEADS)
    found = trend(series[:2]).courses["attention_entropy"]["prose"]
    assert found.mean[0].value == pytest.approx(values["attention_entropy"].mean(), abs=1e-3)
    assert found.mean[0].low < found.mean[0].value < found.mean[0].high


def test_other_depths_are_told_by_rule(tmp_path, series):
    """Places mean nothing there, and the remark says so."""
    smaller = publish(tmp_path / "small", samples(4, HEADS), findings=(COLLAPSE,))
    found = trend([series[2], smaller])
    (finding,) = found.findings
    assert (finding.layer, finding.severities) == (None, ("watch", "watch"))
    assert "by rule and not by place" in found.remarks[0]


def test_checkpoints_called_alike_are_told_apart(tmp_path):
    """By their audits."""
    values = samples(2, 2)
    folders = [publish(tmp_path / name, values, audit_id=name * 16) for name in "ab"]
    assert [step.label.rpartition(" ")[2] for step in trend(folders).steps] == ["aaaaaa", "bbbbbb"]


def test_refusals(tmp_path, series):
    """One audit is no series; a stranger is named."""
    with pytest.raises(UnusableInput, match="two audits or more"):
        trend(series[:1])
    stranger = publish(
        tmp_path / "x", samples(6, 12), audit_id="x" * 16, plan=example_audit().plan | {"seed": 9}
    )
    with pytest.raises(NotComparable, match="x{16}.*seed 0 before, 9 after"):
        trend([*series, stranger])


def test_the_record_survives_json(series):
    """And is the same bytes each time."""
    data = msgspec.json.encode(trend(series))
    assert msgspec.json.encode(msgspec.json.decode(data, type=Trend)) == data
    assert msgspec.json.encode(trend(series)) == data
    assert b"NaN" not in data


@pytest.mark.parametrize("medium", ["screen", "print"])
def test_the_page_shows_it(series, medium):
    """Label, finding, metric; hostile names are inert, also inside the charts."""
    html = reports.drawn(trend(series), medium)
    assert "checkpoint-200" in html
    assert "has collapsed" in html
    assert "http" not in html.partition("</style>")[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, series, tmp_path, scheme):
    """No violation of any rule of axe-core, and nothing wider than a telephone."""
    page = written(reports.drawn(trend(series), "screen"), tmp_path)
    assert browser.violations(page, scheme) == []
    _, lines, found = browser.open(page, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    assert lines == []
    assert found["width"] <= 0


def test_hostile_names_are_inert(tmp_path):
    """In the page, and in the expression that labels an axis."""
    values = samples(2, 2)
    name = "<script>'\\ || alert(1)"
    folders = [publish(tmp_path / f"{i}", values, provenance=_at(f"runs/{i}{name}")) for i in range(2)]
    assert "<script" not in reports.drawn(trend(folders), "screen")


def test_the_template_uses_every_field_and_no_other():
    """The page's record is the contract of the template."""
    environment = templating.environment()
    used = set()
    for name in ("trend.html", "base.html", "parts/masthead.html"):
        source = environment.loader.get_source(environment, name)[0]
        used |= meta.find_undeclared_variables(environment.parse(source))
    assert used - {"edition"} == set(reports.TrendPage.__dataclass_fields__)


def test_the_command(series, attnaudit, tmp_path):
    """Text, JSON, files, exit codes."""
    ran = attnaudit(
        "trend", *series, "-o", tmp_path / "t.html", "-o", tmp_path / "t.pdf", "-o", tmp_path / "t.json"
    )
    assert ran.code == 0
    assert "          at checkpoint-200\n" in ran.out
    assert "turn      at checkpoint-200: mean Attention entropy on prose -" in ran.out
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF-")
    assert attnaudit("trend", *series, "--json").out == (tmp_path / "t.json").read_text("utf-8")
    stranger = publish(tmp_path / "x", samples(6, 12), plan=example_audit().plan | {"max_length": 9})
    assert attnaudit("trend", *series, stranger).code == 3
    assert attnaudit("trend", series[0]).code == 2
