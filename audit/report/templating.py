"""Finds the templates and renders a page with them: undefined names are errors, all text is escaped."""

import base64
import hashlib
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup, escape

from audit.errors import InternalFault
from audit.report.blocks import Medium
from audit.report.page import Page
from audit.report.wording import legible

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PACKAGED = Path(__file__).parents[1] / "_templates"
_CHECKOUT = Path(__file__).parents[2] / "templates"


def template_folder() -> Path:
    """The folder of templates: inside the installed package, else the checkout's own."""
    for folder in (_PACKAGED, _CHECKOUT):
        if folder.is_dir():
            return folder
    raise InternalFault(f"no templates at {str(_PACKAGED)!r}: the package is incomplete, install it again")


def environment() -> jinja2.Environment:
    """Jinja over the templates; every value passes through `legible` before it is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=legible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["with_code"] = with_code
    return made


def with_code(text: str) -> Markup:
    """Escaped text in which `names` between backticks are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(legible(text)))))  # noqa: S704 - escaped before


def render(page: Page) -> str:
    """The page as one HTML document, from `screen.html` or `print.html`."""
    return filled(f"{page.medium}.html", page)


def filled(template: str, page: "DataclassInstance") -> str:
    """The template with the fields of `page` by name."""
    names = {field.name: getattr(page, field.name) for field in fields(page)}
    return environment().get_template(template).render(names)


def style_of(medium: Medium, *others: str) -> str:
    """The style sheet of a medium: what both share, its own, then `others`."""
    folder = template_folder() / "styles"
    names = ("shared", medium, *others)
    return "".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in names)


def content_policy(style: str, script: str | None = None) -> str:
    """A Content-Security-Policy that allows this style sheet, this script and pictures inside the page, nothing else."""
    scripts = f"script-src {_source(script)}; " if script else ""
    return (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; {scripts}"
        "base-uri 'none'; form-action 'none'"
    )


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def script_of(name: str) -> str:
    """A script of ours, to stand inside a page."""
    return (template_folder() / "scripts" / f"{name}.js").read_text(encoding="utf-8")
