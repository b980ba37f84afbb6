"""Chart definitions draw what they are given, and nothing from elsewhere."""

import base64
import io
import re
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from audit.report import charts
from audit.report.cells import Cell
from audit.report.drawing import DARK, LIGHT, raster, vector
from audit.report.scales import Scale

FRACTION = Scale("fraction", 0.0, 1.0)


def decoded(address):
    return base64.b64decode(address.split(",", 1)[1])


def colours(picture):
    image = Image.open(io.BytesIO(decoded(picture)))
    assert image.mode == "RGB"
    return {colour for count, colour in image.getcolors(1 << 24) if count > 200}


def rgb(colour):
    return tuple(bytes.fromhex(colour[1:]))


def test_a_cell_without_a_value_keeps_the_background():
    """Absent is not zero: the lowest colour of the scale and the void differ."""
    zero = charts.grid([Cell(0, 0, 0.0, None, None)], layers=1, heads=1, scale=FRACTION)
    none = charts.grid([Cell(0, 0, None, None, None)], layers=1, heads=1, scale=FRACTION)

    assert rgb(LIGHT.void) in colours(raster(none, dark=False).light)
    assert rgb(LIGHT.void) not in colours(raster(zero, dark=False).light)


def test_the_ends_of_the_scale_have_the_ends_of_the_colours():
    """0 and 1 of a fraction look the same in every report."""
    cells = [Cell(0, 0, 0.0, None, None), Cell(0, 1, 1.0, None, None)]
    seen = colours(raster(charts.grid(cells, layers=1, heads=2, scale=FRACTION), dark=False).light)

    assert {(68, 1, 84), (253, 231, 37)} <= {tuple(colour) for colour in seen}


def test_a_finding_is_ringed():
    """The ring changes the picture."""
    cells = [Cell(0, head, 0.5, None, None) for head in range(3)]
    plain = charts.grid(cells, layers=1, heads=3, scale=FRACTION)
    ringed = charts.grid(cells, layers=1, heads=3, scale=FRACTION, marked=[(0, 1)])

    assert raster(plain, dark=False) != raster(ringed, dark=False)


def test_light_and_dark_take_the_page_colours():
    """The picture stands on the paper of its theme."""
    picture = raster(charts.grid([Cell(0, 0, 0.5, None, None)], layers=1, heads=1, scale=FRACTION), dark=True)
    assert picture.dark is not None
    assert rgb(LIGHT.paper) in colours(picture.light)
    assert rgb(DARK.paper) in colours(picture.dark)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (6, 12), (30, 9), (32, 32)])
def test_grids_of_every_size_fit_a_column(layers, heads):
    """Never wider than a column of the page, never too small to read."""
    cells = [Cell(layer, head, 0.5, None, None) for layer in range(layers) for head in range(heads)]
    picture = raster(charts.grid(cells, layers=layers, heads=heads, scale=FRACTION), dark=False)
    assert 60 < int(picture.width) < 400
    assert 60 < int(picture.height) < 400


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
    assert raster(charts.pattern([[0.5, 0.5], [1.0, 0.0]], tokens=[name, "שלום"]), dark=False).light
