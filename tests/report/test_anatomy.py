"""Every head metric gets its grids, every layer metric its profile, and what was not measured its reason."""

from dataclasses import replace

import pytest

from audit.report.anatomy import depth_sections, head_sections, totals
from audit.results import Measurement
from tests.report.example import METRICS, example_audit

HEADS = sorted(name for name, kind in METRICS.items() if kind.axes == "head")
LAYERS = sorted(name for name, kind in METRICS.items() if kind.axes == "layer")


def measured(audit, **measurements):
    return replace(audit, measurements={name: {"prose": m} for name, m in measurements.items()})


@pytest.fixture(scope="module")
def audit():
    return example_audit(layers=3, heads=2, probes=("prose", "code"))


def test_every_metric_has_its_section(audit):
    """None is left out, none appears twice, and they stand as a reader looks them up: by title."""
    for sections, names in ((head_sections, HEADS), (depth_sections, LAYERS)):
        found = sections(audit, medium="print")
        titles = [section.title.casefold() for section in found]
        assert sorted(section.name for section in found) == names
        assert titles == sorted(titles)


def test_the_screen_shows_every_probe_and_print_the_first(audit):
    """The PDF is a bounded digest of small pictures without tables."""
    screen, printed = head_sections(audit, medium="screen")[0], head_sections(audit, medium="print")[0]

    assert [figure.captions[0].label for figure in screen.figures] == ["prose", "code"]
    assert [figure.captions[0].label for figure in printed.figures] == ["prose"]
    assert screen.figures[0].table is not None
    assert printed.figures[0].table is None
    assert printed.figures[0].captions[0].text.startswith("median ")


def test_probes_share_one_scale():
    """The same colour means the same on both probes: a probe with half the values is not drawn alike."""
    audit = example_audit(layers=2, heads=2)
    low, high = (Measurement(value=[[size, 2 * size], [3 * size, 4 * size]]) for size in (1.0, 2.0))
    section = head_sections(
        replace(audit, findings=(), measurements={"effective_keys": {"a": low, "b": high}}), medium="screen"
    )[0]
    assert section.figures[0].picture != section.figures[1].picture


def test_a_metric_without_any_value_says_why(audit):
    """No empty picture and no zero: the reason."""
    nothing = Measurement(value=None, absent="the model has no loss")
    nowhere = Measurement(value=[[None, None]] * 3, absent="all mass lies on sinks")
    page = measured(audit, attention_entropy=nothing, sink_mass=nowhere, token_similarity=nothing)

    for section in (*head_sections(page, medium="screen"), *depth_sections(page, medium="screen")):
        assert section.figures == ()
        assert section.absences[0].startswith("Not measured on prose: ")
    assert "all mass lies on sinks" in head_sections(page, medium="screen")[1].absences[0]


def test_a_metric_without_a_record_is_still_drawn(audit):
    """An audit of an older engine: name instead of title, no unit."""
    page = measured(audit, brand_new=Measurement(value=[[0.1, 0.2]] * 3, n=20))
    (section,) = head_sections(page, medium="screen")
    assert (section.title, section.unit, len(section.figures)) == ("brand_new", "", 1)


def test_a_number_for_the_whole_model_is_a_row(audit):
    """With its interval, its bound, or the reason for its absence."""
    page = measured(
        audit,
        loss=Measurement(value=2.5, low=2.4, high=2.6, n=32),
        reach=Measurement(value=128.0, bound="at_least", absent="no interval: nothing varies"),
        gain=Measurement(value=None, absent="the model has no loss"),
    )
    assert [(row.label, row.text) for row in totals(page)] == [
        ("gain, prose", "not measured: the model has no loss"),
        ("loss, prose", "2.5 [2.4, 2.6]"),
        ("reach, prose", "at least 128 (no interval: nothing varies)"),
    ]


def test_stacks_of_an_encoder_decoder_are_lines_of_their_own(audit):
    """A zigzag through self and cross attention would show nothing."""
    first, *others = audit.coverage.layers
    layers = (first, *(replace(layer, stack="decoder", kind="cross") for layer in others))
    mixed = replace(audit, coverage=replace(audit.coverage, layers=layers))
    plain, split = (depth_sections(each, medium="print")[0].figures[0].picture for each in (audit, mixed))
    assert plain != split


def test_the_picture_says_in_words_what_it_shows(audit):
    """Title, probe, lowest and highest with their places."""
    alt = head_sections(audit, medium="print")[0].figures[0].alt
    assert alt.startswith("Attention distance by layer and head on prose: lowest ")
    assert "(layer " in alt
