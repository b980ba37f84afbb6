"""A trainability diagram by itself: a page, a picture or its numbers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from markupsafe import Markup

from audit.errors import UnusableInput
from audit.report import templating
from audit.report.blocks import TrainabilitySection
from audit.report.diagram import Seen, chart
from audit.report.document import Document
from audit.report.drawing import png, svg
from audit.report.exhibits import diagram_of
from audit.report.places import name_of
from audit.report.trainability import section, seen_of
from audit.results import Audit
from audit.results.trainability import Diagram
from audit.version import ENGINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet(Document):
    """A trainability diagram on a page of its own: what `diagram.html` uses."""

    kicker: str
    trainability: TrainabilitySection


class Sketch(NamedTuple):
    """A diagram, and what a pass showed of the trained model; nothing where there is only a configuration."""

    diagram: Diagram
    seen: tuple[Seen, ...]
    name: str


def sketch_of(audit: Audit, folder: Path) -> Sketch:
    """The diagram that a published audit holds. Raises UnusableInput where it holds none."""
    found = diagram_of(audit, folder)
    if isinstance(found, str):
        raise UnusableInput(f"no diagram in the audit of {audit.provenance.path!r}: {found}")
    return Sketch(found, seen_of(audit, found), name_of(audit.provenance.path))


def _page(sketch: Sketch) -> bytes:
    style = templating.style_of("screen")
    sheet = Sheet(
        medium="screen",
        title=f"Trainability of {sketch.name}",
        kicker="Attention audit",
        description=sketch.diagram.here.words[0],
        generator=f"attention-audit {ENGINE}",
        style=Markup(style),  # noqa: S704 - our own style sheet
        content_policy=templating.content_policy(style),
        trainability=section(sketch.diagram, sketch.seen, medium="screen"),
    )
    names = {field.name: getattr(sheet, field.name) for field in fields(sheet)}
    return templating.environment().get_template("diagram.html").render(names).encode()


def _numbers(sketch: Sketch) -> bytes:
    measured = [each._asdict() for each in sketch.seen]
    whole = {**msgspec.to_builtins(sketch.diagram), "measured": measured}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


FORMS: Final[Mapping[str, Callable[[Sketch], bytes]]] = MappingProxyType(
    {
        ".html": _page,
        ".svg": lambda sketch: svg(json.dumps(chart(sketch.diagram, sketch.seen))),
        ".png": lambda sketch: png(json.dumps(chart(sketch.diagram, sketch.seen))),
        ".json": _numbers,
    }
)
