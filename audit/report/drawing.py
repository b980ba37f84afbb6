"""From chart definitions to pictures inside the page: `data:` addresses, in light and dark."""

import base64
import io
import json
import re
from functools import lru_cache
from typing import NamedTuple

import vl_convert
from markupsafe import Markup
from PIL import Image

from audit.report.scales import Spec

_SHARPNESS = 2  # pixels of a raster per pixel of the page


class Theme(NamedTuple):
    """Colours a chart takes from the page around it."""

    paper: str
    ink: str
    muted: str
    line: str
    void: str  # background of a heat map: what has no value
    series: tuple[str, ...]  # Okabe and Ito's colours, told apart by every common kind of colour vision

    def config(self) -> dict[str, object]:
        """The Vega-Lite configuration."""
        words = {"labelColor": self.muted, "titleColor": self.ink, "titleFontWeight": "normal"}
        return {
            "background": self.paper,
            "font": "sans-serif",
            "view": {"stroke": None, "fill": self.void},
            "axis": {
                **words,
                "domainColor": self.line,
                "tickColor": self.line,
                "gridColor": self.line,
                "aria": False,
            },
            "legend": {**words, "aria": False},
            "title": {"color": self.ink, "fontWeight": "normal"},
            "range": {"category": list(self.series)},
        }


LIGHT = Theme(
    "#ffffff", "#1c2128", "#57606a", "#d0d7de", "#e6e8eb", ("#0072b2", "#d55e00", "#009e73", "#aa4499")
)
DARK = Theme(
    "#171a20", "#e4e7eb", "#a3acb8", "#3a414c", "#343a44", ("#56b4e9", "#e69f00", "#2fc59b", "#e08fc0")
)


class _Drawn(NamedTuple):
    address: Markup
    width: str
    height: str


class Picture(NamedTuple):
    """An image in the page: one address per theme, and its size in pixels of the page."""

    light: Markup
    dark: Markup | None  # None where one serves both
    width: str
    height: str


def raster(spec: Spec, *, dark: bool) -> Picture:
    """A chart as PNG: right for dense fields, where a drawing of each cell would cost the PDF seconds."""
    text = json.dumps(spec)
    light = _png(text, LIGHT)
    return Picture(light.address, _png(text, DARK).address if dark else None, light.width, light.height)


def vector(spec: Spec, *, dark: bool) -> Picture:
    """A chart as SVG: right for a few lines, sharp at any size; `dark` lets it follow the page's theme."""
    drawn = _svg(json.dumps(spec))
    width, height = re.findall(r'\b(?:width|height)="([\d.]+)"', drawn)[:2]
    if dark:
        drawn = re.sub(r"(<svg[^>]*>)", rf"\1<style>{_night()}</style>", drawn, count=1)
    return Picture(address("image/svg+xml", drawn.encode()), None, width, height)


def _night() -> str:
    """Rules that turn each colour of the light theme into that of the dark one."""
    pairs = [
        (LIGHT.paper, DARK.paper),
        (LIGHT.ink, DARK.ink),
        (LIGHT.muted, DARK.muted),
        (LIGHT.line, DARK.line),
    ]
    pairs += [(LIGHT.void, DARK.void), *zip(LIGHT.series, DARK.series, strict=True)]
    rules = (f'[{part}="{light}"]{{{part}:{dark}}}' for light, dark in pairs for part in ("fill", "stroke"))
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"


@lru_cache(maxsize=128)  # HTML and PDF of one audit share their pictures
def _png(spec: str, theme: Theme) -> _Drawn:
    data = png(spec, theme)
    width, height = (str(side // _SHARPNESS) for side in Image.open(io.BytesIO(data)).size)
    return _Drawn(address("image/png", data), width, height)


@lru_cache(maxsize=128)
def _svg(spec: str) -> str:
    return svg(spec, LIGHT, clear=True).decode()


def png(spec: str, theme: Theme = LIGHT) -> bytes:
    """A chart's specification, as JSON, drawn as an opaque PNG."""
    drawn = vl_convert.vegalite_to_png(spec, scale=_SHARPNESS, config=theme.config(), allowed_base_urls=[])
    buffer = io.BytesIO()
    Image.open(io.BytesIO(drawn)).convert("RGB").save(buffer, "PNG")  # a fifth of the size
    return buffer.getvalue()


def svg(spec: str, theme: Theme = LIGHT, *, clear: bool = False) -> bytes:
    """The same as SVG; `clear` leaves the ground of each chart to the page."""
    config = theme.config() | ({"view": {"stroke": None, "fill": None}} if clear else {})
    return vl_convert.vegalite_to_svg(spec, config=config, allowed_base_urls=[]).encode()


def address(kind: str, data: bytes) -> Markup:
    """`data` as an address inside the page."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")  # noqa: S704 - base64 holds no markup
