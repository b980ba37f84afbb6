"""The templates use exactly what the page offers, and a special page is one file added."""

import base64
import hashlib
import re
from dataclasses import fields, is_dataclass

import jinja2
import pytest
from jinja2 import meta, nodes

from audit.errors import InternalFault
from audit.report import blocks, templating
from audit.report.anatomy import head_sections
from audit.report.page import Page
from audit.report.sheet import Sheet
from tests.report.example import example_audit

FOLDER = templating.template_folder()
PAGES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.html"))
LOCAL = {
    "section",
    "figure",
    "table",
    "block",
    "heading",
    "edition",
    "verdict",
}  # what a metric's, a figure's and a table's template is handed by the one that includes it


def parsed(name):
    return templating.environment().parse((FOLDER / name).read_text(encoding="utf-8"))


def records():
    found = [value for value in vars(blocks).values() if isinstance(value, type) and is_dataclass(value)]
    return [record for record in found if record.__module__ == blocks.__name__]


def test_templates_use_every_name_of_the_page_and_no_other():
    """The fields of both pages are the contract of the templates, in both directions."""
    own = {
        "batch.html",
        "catalogue.html",
        "comparison.html",
        "trend.html",
    }  # each is held to its own page beside its tests
    audits = [name for name in PAGES if name not in own]
    used = set().union(*(meta.find_undeclared_variables(parsed(name)) for name in audits))
    offered = {field.name for page in (Page, Sheet) for field in fields(page)}
    assert used - LOCAL == offered


def test_no_field_of_any_block_is_without_use():
    """What is prepared is shown."""
    used = {node.attr for name in PAGES for node in parsed(name).find_all(nodes.Getattr)}
    unused = {
        f"{record.__name__}.{field.name}"
        for record in records()
        for field in fields(record)
        if field.name not in used
    }
    assert unused == set()


@pytest.mark.parametrize("name", PAGES)
def test_templates_do_no_arithmetic(name):
    """Numbers come as text; a template only places them."""
    sums = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
    assert not list(parsed(name).find_all(sums))


@pytest.mark.parametrize("name", PAGES)
def test_templates_have_no_scripts_handlers_styles_or_addresses(name):
    """Nothing that a strict policy would have to allow."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:|https?:|@import|\|\s*safe", text)


def test_style_sheets_fetch_nothing():
    """No imports, no addresses, no fonts from elsewhere."""
    for medium in ("screen", "print"):
        assert not re.search(r"url\(|@import|@font-face", templating.style_of(medium))


def test_an_unknown_name_is_an_error():
    """A typing error in a template cannot print an empty string."""
    with pytest.raises(jinja2.UndefinedError):
        templating.environment().from_string("{{ verdit }}").render(verdict="pass")


def test_everything_is_escaped_and_made_legible():
    """Markup from outside is text, and what is invisible is spelled out."""
    out = templating.environment().from_string("<p title='{{ x }}'>{{ x }}</p>").render(x="<b>'\u202e")
    assert out == "<p title='&lt;b&gt;&#39;⟨U+202E⟩'>&lt;b&gt;&#39;⟨U+202E⟩</p>"


def test_names_between_backticks_are_code_and_still_escaped():
    """The one piece of formatting that rules use."""
    assert templating.with_code("over `limit` <b>\u202e") == "over <code>limit</code> &lt;b&gt;⟨U+202E⟩"


def test_a_metric_may_bring_its_own_template():
    """The most specific template wins; all others are drawn by the default one."""
    sections = {
        section.name: section for section in head_sections(example_audit(layers=1, heads=1), medium="print")
    }
    environment = templating.environment()

    def drawn(name):
        template = environment.select_template([f"metrics/{name}.html", "metric.html"])
        return template.render(section=sections[name])

    assert "no defect" in drawn("sink_mass")
    assert "no defect" not in drawn("self_mass")


def test_every_special_template_belongs_to_a_metric():
    """A file whose metric was renamed would never be used."""
    known = {path.stem for path in (FOLDER.parent / "audit" / "metrics").glob("*.py")}
    assert {path.stem for path in (FOLDER / "metrics").glob("*.html")} <= known


def test_the_policy_allows_this_style_sheet_and_no_other():
    """The digest is that of the text between the tags."""
    policy = templating.content_policy("p{}")
    digest = base64.b64encode(hashlib.sha256(b"p{}").digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_packaged_templates_go_first(tmp_path, monkeypatch):
    """In a wheel they lie inside the package; an incomplete package says so."""
    monkeypatch.setattr(templating, "_PACKAGED", tmp_path)
    assert templating.template_folder() == tmp_path

    monkeypatch.setattr(templating, "_PACKAGED", tmp_path / "none")
    monkeypatch.setattr(templating, "_CHECKOUT", tmp_path / "none")
    with pytest.raises(InternalFault, match="no templates"):
        templating.template_folder()
