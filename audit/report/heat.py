"""Heat maps as SVG around a picture of one pixel block per cell: drawn in a millisecond, for both themes at once."""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from markupsafe import Markup, escape
from PIL import Image

from audit.report.drawing import DARK, LIGHT, Picture, address
from audit.report.scales import Scale, inner_powers, round_ticks
from audit.report.wording import legible, number

Matrix = Sequence[Sequence[float | None]]

# Colours that stay in order without colour vision: matplotlib's viridis (CC0), and blue to orange around 0.
_EVEN: Final = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]
_APART: Final = [
    "134b85",
    "2f78b3",
    "5da2cb",
    "9dcae1",
    "d2e5ef",
    "f2f0eb",
    "fce0ba",
    "fbbf74",
    "e8932f",
    "c5690d",
    "994a07",
]
_SHADES = 255  # of a palette; the 256th entry is the cell without a value
_LETTER = 5.6  # pixels a letter of 10 is wide, about
_LEGEND = 92  # pixels the scale's bar is high at most
_GAP = 10


class Panel(NamedTuple):
    """One heat map: values by row and column, a label or '' for each of both, rings around cells."""

    values: Matrix
    down: Sequence[str]
    across: Sequence[str]
    title: str = ""
    rings: Sequence[tuple[int, int]] = ()


class Frame(NamedTuple):
    """What all panels of a picture share: pixels of a cell, names of the axes, panels side by side."""

    wide: int
    tall: int
    down: str = ""
    across: str = ""
    row: int = 1


def heat_map(panels: Sequence[Panel], *, scale: Scale, frame: Frame) -> Picture:
    """The panels in rows beside one scale; cells without a value keep the ground."""
    left = 8 + _LETTER * max((len(label) for panel in panels for label in panel.down), default=0)
    left += 14 if frame.down else 0
    upright = any(len(label) > 3 for panel in panels for label in panel.across)
    longest = max((len(label) for panel in panels for label in panel.across), default=0)
    below = (10 + _LETTER * longest if upright else 16 if longest else 4) + (15 if frame.across else 0)
    width = max(len(panel.across) for panel in panels) * frame.wide
    height = max(len(panel.down) for panel in panels) * frame.tall
    above = 14 if any(panel.title for panel in panels) else 4
    step_x, step_y = left + width + _GAP, above + height + below
    rows, columns = math.ceil(len(panels) / frame.row), min(len(panels), frame.row)
    drawn = [
        _panel(
            panel,
            scale,
            frame,
            at=(left + step_x * (place % frame.row), above + step_y * (place // frame.row)),
            upright=upright,
        )
        for place, panel in enumerate(panels)
    ]
    bar, beside = _bar(scale, at=(step_x * columns + 4, above), height=rows * step_y - above - below)
    size = (math.ceil(step_x * columns + 4 + beside), math.ceil(max(rows * step_y, 80)))
    return _picture([*drawn, bar], size)


def _panel(panel: Panel, scale: Scale, frame: Frame, *, at: tuple[float, float], upright: bool) -> str:
    x, y = at
    width, height = len(panel.across) * frame.wide, len(panel.down) * frame.tall
    middle_x, middle_y = x + width / 2, y + height / 2
    parts = [
        f'<rect class="void" x="{x:g}" y="{y:g}" width="{width}" height="{height}"/>',
        _image(_cells(panel.values, scale, frame), x, y, width, height),
        *(_ring(x + column * frame.wide, y + row * frame.tall, frame) for row, column in panel.rings),
        *(
            _text(x - 5, y + (row + 0.5) * frame.tall + 3.5, label, anchor="end")
            for row, label in enumerate(panel.down)
        ),
    ]
    for column, label in enumerate(panel.across):
        across = x + (column + 0.5) * frame.wide
        if upright:
            parts.append(_text(across + 3.5, y + height + 5, label, anchor="end", turned=True))
        else:
            parts.append(_text(across, y + height + 13, label, anchor="middle"))
    if panel.title:
        parts.append(_text(x, y - 4, panel.title))
    if frame.across:
        deepest = max((len(label) for label in panel.across), default=0)
        under = 10 + _LETTER * deepest if upright else 16
        parts.append(_text(middle_x, y + height + under + 10, frame.across, anchor="middle", ink=True))
    if frame.down:
        longest = max((len(label) for label in panel.down), default=0)
        parts.append(
            _text(x - 10 - _LETTER * longest, middle_y, frame.down, anchor="middle", turned=True, ink=True)
        )
    return "".join(parts)


def _cells(values: Matrix, scale: Scale, frame: Frame) -> bytes:
    """A PNG of one block of pixels per cell: a viewer that smooths edges then leaves the blocks alone."""
    columns = max(len(row) for row in values)
    shades = bytes(
        _SHADES if value is None else _shade(value, scale)
        for row in values
        for value in [*row, *[None] * (columns - len(row))]
    )
    image = Image.frombytes("P", (columns, len(values)), shades)
    image = image.resize((columns * frame.wide, len(values) * frame.tall), Image.Resampling.NEAREST)
    image.putpalette(_palette(diverging=scale.diverging))
    return _png(image)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_SHADES)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _few() -> bytes:
    """Fifteen colours of the even palette, and one for what has no value."""
    every = _palette(diverging=False)
    return b"".join(every[3 * (step * 254 // 14) :][:3] for step in range(15)) + every[-3:]


_LEVELS = bytes(shade * 15 // 255 for shade in range(256))


def thumbnail(shades: bytes, columns: int) -> Markup:
    """A PNG of sixteen colours, a pixel per shade (255 has no value): a page may hold two thousand of them."""
    image = Image.frombytes("P", (columns, len(shades) // columns), shades.translate(_LEVELS))
    image.putpalette(_few())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", bits=4, transparency=15)
    return address("image/png", buffer.getvalue())


def _shade(value: float, scale: Scale) -> int:
    low, high = scale.low, scale.high if scale.high > scale.low else scale.low + 1.0
    if scale.log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return round((_SHADES - 1) * min(1.0, max(0.0, (value - low) / (high - low))))


@lru_cache(maxsize=2)
def _palette(*, diverging: bool) -> bytes:
    """255 shades between the anchors, and a last one for what has no value."""
    anchors = [bytes.fromhex(colour) for colour in (_APART if diverging else _EVEN)]
    steps = (_SHADES - 1) / (len(anchors) - 1)
    found = bytearray()
    for shade in range(_SHADES):
        place = min(int(shade / steps), len(anchors) - 2)
        share = shade / steps - place
        found += bytes(round(a + (b - a) * share) for a, b in zip(*anchors[place : place + 2], strict=True))
    return bytes(found) + b"\xff\xff\xff"


@lru_cache(maxsize=2)
def _gradient(*, diverging: bool) -> bytes:
    image = Image.frombytes("P", (1, _SHADES), bytes(range(_SHADES - 1, -1, -1)))
    image.putpalette(_palette(diverging=diverging))
    return _png(image)


def _bar(scale: Scale, *, at: tuple[float, float], height: float) -> tuple[str, float]:
    """The scale's colours with numbers beside them, and how many pixels they take."""
    x, top = at
    y, high = top + 12, min(max(height - 12, 48), _LEGEND)
    low, end = scale.low, scale.high if scale.high > scale.low else scale.low + 1.0
    ticks = [low, *inner_powers(low, end), end] if scale.log else round_ticks(low, end)
    labels = [(tick, number(tick)) for tick in _apart(ticks, low, end, high, log=scale.log)]
    parts = [
        _text(x, top + 4, scale.title, ink=True),
        _image(_gradient(diverging=scale.diverging), x, y, 9, high),
    ]
    parts += [
        _text(x + 13, y + high * (1 - _share(tick, low, end, log=scale.log)) + 3.5, label)
        for tick, label in labels
    ]
    longest = max(len(label) for _, label in labels)
    return "".join(parts), max(17 + _LETTER * longest, _LETTER * len(scale.title) + 4)


def _apart(ticks: Iterable[float], low: float, end: float, high: float, *, log: bool) -> list[float]:
    """Ticks that do not run into each other."""
    found = list(ticks)
    room = [
        later
        for sooner, later in pairwise(found)
        if (_share(later, low, end, log=log) - _share(sooner, low, end, log=log)) * high >= 11
    ]
    return [*found[:1], *room]


def _share(value: float, low: float, high: float, *, log: bool) -> float:
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _image(data: bytes, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{base64.b64encode(data).decode()}"/>'
    )


def _ring(x: float, y: float, frame: Frame) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{frame.wide}" height="{frame.tall}" fill="none"'
    return f'<rect {place} stroke="#fff" stroke-width="3"/><rect {place} stroke="#000" stroke-width="1.5"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", turned: bool = False, ink: bool = False
) -> str:
    if not text:
        return ""
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    kind = ' class="ink"' if ink else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{turn}{kind}>{escape(legible(text))}</text>'


def _picture(parts: Sequence[str], size: tuple[int, int]) -> Picture:
    style = (
        f"text{{font-size:10px;font-family:sans-serif;fill:{LIGHT.muted}}}.ink{{fill:{LIGHT.ink}}}.void{{fill:{LIGHT.void}}}"
        f"image{{image-rendering:pixelated}}@media (prefers-color-scheme:dark){{"
        f"text{{fill:{DARK.muted}}}.ink{{fill:{DARK.ink}}}.void{{fill:{DARK.void}}}}}"
    )
    width, height = size
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{style}</style>{"".join(parts)}</svg>'
    )
    return Picture(address("image/svg+xml", drawn.encode()), None, str(width), str(height))
