"""The trainability section: the diagram with what was measured, or the reason why there is none."""

import math
from dataclasses import replace

import msgspec
import pytest

from audit.identity import digest_of_file
from audit.report.diagram import chart
from audit.report.trainability import section_of, seen_of
from audit.results import Audit, Exhibit, Measurement
from audit.results.subject import Skipped
from audit.results.trainability import Diagram
from audit.theory.configuration import from_config
from audit.theory.diagram import diagram
from tests.report.example import example_audit
from tests.theory.configurations import BERT


@pytest.fixture(scope="module")
def drawn() -> Diagram:
    """A BERT of six blocks."""
    return diagram(from_config(BERT | {"num_hidden_layers": 6}), columns=5, rows=5)


def published(audit: Audit, found: Diagram, folder) -> Audit:
    path = folder / "diagram.json"
    path.write_bytes(msgspec.json.encode(found))
    exhibit = Exhibit(id="diagram", kind="diagram", finding=None, file=path.name, sha256=digest_of_file(path))
    return replace(audit, trainability=found.here, exhibits=(exhibit,))


def measured(audit: Audit, metric: str, value: list) -> Audit:
    probe = audit.coverage.probes[0].name
    return replace(audit, measurements=audit.measurements | {metric: {probe: Measurement(value=value, n=32)}})


def test_the_section_says_where_it_stands_and_shows_it(tmp_path, drawn):
    """The sentences of the theory, a picture in both themes, the numbers by block."""
    found = section_of(published(example_audit(), drawn, tmp_path), tmp_path, medium="screen")
    assert found.words == drawn.here.words
    assert found.figure is not None
    assert found.figure.picture.dark is not None
    assert found.figure.table is not None
    assert len(found.figure.table.rows) == 7
    assert "not what the trained weights do" in found.introduction


def test_a_changed_file_is_not_drawn(tmp_path, drawn):
    """As with every exhibit."""
    audit = published(example_audit(), drawn, tmp_path)
    (tmp_path / "diagram.json").write_bytes(b"{}")
    found = section_of(audit, tmp_path, medium="print")
    assert found.figure is None
    assert "changed after the audit" in found.introduction


def test_without_a_diagram_the_reason_is_said(tmp_path):
    """From the coverage, or that none was made."""
    audit = replace(example_audit(), exhibits=())
    assert section_of(audit, tmp_path, medium="print").introduction == "No diagram: none was made."
    skipped = (Skipped(metric="trainability", reason="the model has no widths"),)
    told = replace(audit, coverage=replace(audit.coverage, skipped=skipped))
    assert "the model has no widths" in section_of(told, tmp_path, medium="print").introduction


def test_measured_layers_are_marked_at_their_nearness_to_freezing(drawn):
    """A layer whose scores are spread as random ones at their freezing point stands on the border."""
    audit = example_audit()
    audit = replace(audit, subject=replace(audit.subject, task="masked"))
    probe = audit.coverage.probes[0]
    freezing = math.sqrt(2 * math.log(round(probe.tokens / probe.samples)))
    audit = measured(audit, "score_spread", [[freezing, freezing]] * 3 + [[None, None]] * 3)
    audit = measured(audit, "token_similarity", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    seen = seen_of(audit, drawn)
    assert [each.block for each in seen] == [1, 2, 3, 4, 5, 6]
    assert [each.beta for each in seen[:3]] == pytest.approx([drawn.here.point.beta_critical] * 3)
    assert seen[3].beta is None
    assert [each.similarity for each in seen] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    causal = replace(audit, subject=replace(audit.subject, task="causal"))
    assert seen_of(causal, drawn)[0].beta > seen[0].beta  # most rows see fewer keys, which freeze sooner


def test_the_chart_holds_every_cell_and_both_maps(drawn):
    """Cells without gaps; what was measured only where something was."""
    data = chart(drawn)["datasets"]
    assert {"depth_finite", "depth_infinite", "skip_finite", "skip_infinite"} <= set(data)
    for plane in drawn.planes:
        cells = data[f"{plane.axis}_finite"]
        assert len(cells) == len(plane.levels) * len(plane.betas)
        assert min(cell["x0"] for cell in cells) == plane.betas[0]
        assert max(cell["y1"] for cell in cells) == plane.levels[-1]
    assert not data["seen"]
    assert {row["of"] for row in data["profile"]} == {"untrained, T = 512", "untrained, T → ∞"}
