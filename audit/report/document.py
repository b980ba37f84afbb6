"""What every page hands to `base.html`."""

from dataclasses import dataclass

from markupsafe import Markup

from audit.report.blocks import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The head of a page; a page adds what its own template says."""

    medium: Medium
    title: str
    description: str
    generator: str
    style: Markup
    content_policy: str
