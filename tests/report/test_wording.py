"""Numbers, lists and foreign strings in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from audit.report import wording


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (0.99951, "1"),
        (12.345, "12.3"),
        (1234.5, "1,230"),
        (0.00012, "1.2×10⁻⁴"),
        (-2.5e7, "-2.5×10⁷"),
        (9.9999e-4, "0.001"),
        (999999.0, "1×10⁶"),
        (float("inf"), "beyond any number"),
    ],
)
def test_numbers_read_well_at_every_size(value, said):
    """Three significant digits, thousands separated, powers of ten where decimals would be long."""
    assert said == wording.number(value)


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_a_number_in_words_is_the_number(value):
    """Reading it back gives the value to three digits."""
    said = wording.number(value).replace(",", "")
    for plain, raised in zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True):
        said = said.replace(raised, plain)

    assert float(said.replace("×10", "e")) == pytest.approx(value, rel=5.1e-3)


def test_an_estimate_shows_its_interval_only_where_there_is_one():
    """No empty brackets."""
    assert wording.estimate(0.6, 0.5, 0.7) == "0.6 [0.5, 0.7]"
    assert wording.estimate(0.6, None, None) == "0.6"


@pytest.mark.parametrize(
    ("indices", "said"), [([], ""), ([3], "3"), ([2, 0, 1], "0–2"), ([0, 1, 5, 7, 8], "0–1, 5, 7–8")]
)
def test_runs_of_layers_are_folded(indices, said):
    """126 layers fit on a line."""
    assert said == wording.ranges(indices)


def test_a_sentence_leaves_names_alone():
    """A tensor's name at the start keeps its letters; an ordinary word gets its capital."""
    assert wording.sentence("pooler.weight was left out") == "pooler.weight was left out."
    assert wording.sentence("its file is missing!") == "Its file is missing!"


def test_lists_and_sizes():
    """As one would say them."""
    assert [wording.listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [wording.size(count) for count in (612, 90_868_376, 5 * 10**15)] == [
        "612 bytes",
        "90.9 MB",
        "5,000.0 TB",
    ]
    assert [wording.counted(count, "head") for count in (1, 2, 1024)] == ["1 head", "2 heads", "1,024 heads"]


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\ud800", "\u2028", "\ufeff", "\U000e0041"]
)
def test_invisible_characters_are_spelled_out(hidden):
    """What turns, hides or ends text without being seen is shown by its number."""
    assert wording.legible(f"a{hidden}b") == f"a⟨U+{ord(hidden):04X}⟩b"


@given(st.text())
def test_legible_text_can_always_be_written(text):
    """Any string becomes UTF-8, and becoming it twice changes nothing."""
    once = wording.legible(text)
    assert isinstance(once, str)
    assert once.encode().decode() == once
    assert wording.legible(once) == once


def test_long_words_and_long_texts_are_clipped_and_say_so():
    """A 10,000-character word does not fill the report, nor does a novel."""
    word, novel = wording.legible("x" * 10_000), wording.legible("word " * 2_000)
    assert word == "x" * 300 + "… (9,700 characters more)"
    assert isinstance(novel, str)
    assert novel.endswith("(6,000 characters more)")


def test_markup_of_ours_passes_untouched():
    """Pictures are longer than any text."""
    picture = Markup("data:image/png;base64," + "A" * 9000)
    assert wording.legible(picture) is picture


@given(st.text(), st.text())
def test_anchors_are_safe_in_addresses(first, second):
    """Letters, digits, dots, hyphens and underscores."""
    assert set(wording.anchor(first, second)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )
