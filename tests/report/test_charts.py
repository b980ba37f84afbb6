"""Chart definitions draw what they are given, and nothing from elsewhere."""

import base64
import io
import re
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from audit.report import charts
from audit.report.cells import Cell
from audit.report.drawing import DARK, LIGHT, vector
from audit.report.scales import Scale

FRACTION = Scale("fraction", 0.0, 1.0)


def decoded(address):
    return base64.b64decode(address.split(",", 1)[1])


def cells_of(picture):
    """The colours of the heat map's own image, block by block of pixels."""
    images = re.findall(r'<image [^>]*href="([^"]+)"', decoded(picture.light).decode())
    return Image.open(io.BytesIO(decoded(images[0]))).convert("RGBA")


def grid(*values, **options):
    cells = [Cell(0, head, value, None, None) for head, value in enumerate(values)]
    return charts.grid(cells, layers=1, heads=len(values), scale=FRACTION, **options)


def test_a_cell_without_a_value_keeps_the_background():
    """Absent is not zero: the lowest colour of the scale, and nothing."""
    drawn = cells_of(grid(0.0, None))
    assert drawn.getpixel((0, 0)) == (68, 1, 84, 255)
    assert drawn.getpixel((drawn.width - 1, 0))[3] == 0


def test_the_ends_of_the_scale_have_the_ends_of_the_colours():
    """0 and 1 of a fraction look the same in every report; beyond the ends is at the ends."""
    drawn = cells_of(grid(0.0, 1.0, 1.5))
    wide = drawn.width // 3
    assert [drawn.getpixel((place * wide, 0))[:3] for place in range(3)] == [
        (68, 1, 84),
        (253, 231, 37),
        (253, 231, 37),
    ]


def test_each_cell_stands_in_its_row_and_column():
    """Layers down, heads across."""
    picture = charts.grid([Cell(1, 2, 1.0, None, None)], layers=2, heads=3, scale=FRACTION)
    drawn = cells_of(picture)
    seen = {
        (layer, head): drawn.getpixel(
            ((2 * head + 1) * drawn.width // 6, (2 * layer + 1) * drawn.height // 4)
        )[3]
        for layer in range(2)
        for head in range(3)
    }
    assert {place for place, alpha in seen.items() if alpha} == {(1, 2)}


@pytest.mark.parametrize(
    ("scale", "value", "shade"),
    [
        (Scale("1", -2.0, 2.0, diverging=True), 0.0, 0xF2F0EB),
        (Scale("1", 1.0, 10.0**4, log=True), 100.0, 0x21918C),
    ],
)
def test_scales_have_their_middle_where_they_say(scale, value, shade):
    """Differences around 0, and decades."""
    drawn = cells_of(charts.grid([Cell(0, 0, value, None, None)], layers=1, heads=1, scale=scale))
    assert drawn.getpixel((0, 0))[:3] == tuple(shade.to_bytes(3))


def test_a_finding_is_ringed():
    """The ring changes the picture."""
    assert grid(0.5, 0.5, 0.5) != grid(0.5, 0.5, 0.5, marked=[(0, 1)])


def test_a_picture_takes_the_colours_of_the_pages_theme():
    """Words and ground of both themes are in the one file."""
    lines = charts.profile([charts.Point("prose", 0, 0.5, None, None)], scale=FRACTION)
    for picture in (grid(0.5), vector(lines, dark=True)):
        text = decoded(picture.light).decode()
        assert LIGHT.ink in text
        assert DARK.ink in text.split("prefers-color-scheme:dark", 1)[1]
    assert "prefers" not in decoded(vector(lines, dark=False).light).decode()


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (6, 12), (30, 9), (32, 32), (126, 128)])
@pytest.mark.parametrize("small", [False, True])
def test_grids_of_every_size_fit_a_column(layers, heads, small):
    """Never wider than a column of the page, never too small to read."""
    cells = [Cell(layer, head, 0.5, None, None) for layer in range(layers) for head in range(heads)]
    picture = charts.grid(cells, layers=layers, heads=heads, scale=FRACTION, small=small)
    largest = (215 if small else 400) if layers < 100 else 650
    assert 60 < int(picture.width) < largest
    assert 60 < int(picture.height) < largest


def test_a_missing_layer_breaks_the_line():
    """A line drawn across it would be a claim about it."""
    values = [0.1, 0.2, None, 0.4, 0.5]
    points = [charts.Point("prose", layer, value, value, value) for layer, value in enumerate(values)]
    drawn = decoded(vector(charts.profile(points, scale=FRACTION), dark=False).light).decode()
    line = re.search(r'mark-line[^>]*>.*?<path[^>]* d="([^"]+)"', drawn, re.DOTALL)

    assert line is not None
    assert line[1].count("M") == 2


def test_profiles_of_one_layer_and_of_many_decades_are_drawn():
    """The smallest model and the widest range."""
    one = charts.profile([charts.Point("prose", 0, 0.5, None, None)], scale=FRACTION)
    wide = [charts.Point("prose", layer, 10.0**layer, None, None) for layer in range(5)]
    for spec in (one, charts.profile(wide, scale=Scale("1", 1.0, 10.0**4, log=True))):
        assert ET.fromstring(decoded(vector(spec, dark=False).light)).tag.endswith("svg")


def test_hostile_tokens_and_series_stay_text():
    """Markup in a name is drawn as letters, in well-formed SVG without scripts, links or styles."""
    name = "<script>alert(1)</script>\u202e&\"'"
    points = [charts.Point(f"{name}{n}", 0, 0.5, 0.4, 0.6) for n in range(2)]
    drawn = decoded(vector(charts.profile(points, scale=FRACTION), dark=False).light).decode()
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(drawn).iter()}

    assert "alert(1)" in "".join(ET.fromstring(drawn).itertext())
    assert tags <= {"svg", "g", "path", "rect", "line", "text", "defs", "clipPath"}
    pattern = ET.fromstring(
        decoded(charts.pattern([[0.5, 0.5], [1.0, 0.0]], tokens=[name[:14], "שלום"]).light)
    )
    assert {element.tag.rpartition("}")[2] for element in pattern.iter()} == {
        "svg",
        "style",
        "rect",
        "image",
        "text",
    }
    assert "".join(pattern.itertext()).count("<script>alert( 0") == 2
