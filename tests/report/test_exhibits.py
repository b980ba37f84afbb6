"""Exhibits are drawn only when they are what the audit lists."""

from dataclasses import replace

import pytest

from audit.report.exhibits import pattern_sections, read_pattern
from tests.report.example import example_audit, with_pattern, write_exhibits


def sections(audit, folder, **options):
    given = {"limit": 9, "link": lambda _: "finding-x"} | options
    return pattern_sections(audit, folder, **given)


def test_a_pattern_is_drawn_with_its_facts(tmp_path):
    """Which key receives most, and the strongest link."""
    audit = example_audit()
    write_exhibits(audit, tmp_path)
    (section,) = sections(audit, tmp_path)

    assert section.title == "Layer 3, head 7"
    assert section.figure is not None
    assert "key 4 receives most" in section.figure.alt
    assert section.tokens[0] == "0 [CLS]"


def test_private_text_shows_positions_only(tmp_path):
    """Where the tokens were withheld, the page says so."""
    (section,) = sections(with_pattern(example_audit(), tmp_path, tokens=None), tmp_path)
    assert section.tokens == ()
    assert "private" in section.note


def test_a_cross_attention_pattern_need_not_be_square(tmp_path):
    """Queries and keys of different length, and a weight that was not finite."""
    audit = with_pattern(
        example_audit(), tmp_path, pattern=[[0.25, 0.75, None], [1.0, 0.0, 0.0]], tokens=["a", "b"]
    )
    (section,) = sections(audit, tmp_path)
    assert section.figure is not None


def test_a_pattern_without_weights_is_drawn_empty(tmp_path):
    """Nothing to say is said."""
    (section,) = sections(with_pattern(example_audit(), tmp_path, pattern=[[None]]), tmp_path)
    assert section.figure is not None
    assert "no link has a weight" in section.figure.alt


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pattern": [[0.5], [0.5, 0.5]]}, "no matrix"),
        ({"pattern": [[0.1] * 65] * 65}, "no matrix"),
        ({"pattern": []}, "no matrix"),
        ({"pattern": "all"}, "Expected `array`"),
    ],
)
def test_what_is_no_pattern_is_not_drawn(tmp_path, changes, reason):
    """The reason stands where the picture would."""
    (section,) = sections(with_pattern(example_audit(), tmp_path, **changes), tmp_path)
    assert section.figure is None
    assert reason in section.note


def test_a_changed_a_missing_and_a_foreign_file_are_told_apart(tmp_path):
    """A report draws what was published, and only from its own folder."""
    audit = example_audit()
    (exhibit,) = audit.exhibits
    assert read_pattern(tmp_path, exhibit) == "not shown: its file is missing"

    write_exhibits(audit, tmp_path)
    (tmp_path / exhibit.file).write_text("{}")
    assert read_pattern(tmp_path, exhibit) == "not shown: its file was changed after the audit"
    (tmp_path.parent / "other.json").write_text("{}")
    assert "outside" in str(read_pattern(tmp_path, replace(exhibit, file="../other.json")))


def test_a_report_shows_so_many_patterns_and_no_more(tmp_path):
    """Each picture costs space; the folder has the rest."""
    audit = example_audit()
    write_exhibits(audit, tmp_path)
    many = replace(audit, exhibits=audit.exhibits * 5)
    assert len(sections(many, tmp_path, limit=2)) == 2
