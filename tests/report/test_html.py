"""The page in a browser: one file, no request, no complaint, whatever stands in the audit."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.report import templating
from audit.report.compose import page_of
from audit.report.html import render_html
from audit.results import Measurement
from tests.browser import written
from tests.report.example import METRICS, example_audit, healthy_audit, with_pattern, write_exhibits
from tests.report.large import large_audit

HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>\u202e\u2066\x00" + "W" * 10_000

HOSTILES = (
    HOSTILE,
    "</script></style></title><svg onload=alert(1)>",
    "'\"><a href=javascript:alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "שלום\u202eevil\u2066",
    "👩‍👩‍👧‍👦" * 50,
    "W" * 10_000,
)


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def hostile_audit(folder):
    audit = example_audit(layers=2, heads=2)
    finding = replace(
        audit.findings[0], statement=HOSTILE, cause=HOSTILE, reproduce=HOSTILE, references=(HOSTILE,)
    )
    subject = replace(audit.subject, architecture=HOSTILE, remarks=(HOSTILE,))
    provenance = replace(
        audit.provenance, path=f"models/{HOSTILE}", command=HOSTILE, versions={HOSTILE: HOSTILE}
    )
    measurements = {
        "attention_entropy": {f'"{HOSTILE[:80]}"': audit.measurements["attention_entropy"]["prose"]},
        f"metric {HOSTILE[:40]}": {"prose": Measurement(value=None, absent=HOSTILE)},
    }
    audit = replace(
        audit,
        findings=(finding, audit.findings[1]),
        subject=subject,
        provenance=provenance,
        measurements=measurements,
    )
    return with_pattern(audit, folder, tokens=[HOSTILE] * 24)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_for_nothing_and_does_not_complain(browser, drawn, tmp_path, scheme):
    """One file: no request beside the page itself, no line in the console, every picture there."""
    path = tmp_path / "report.html"
    path.write_text(drawn.html, encoding="utf-8")
    requests, lines, found = browser.open(path, color_scheme=scheme)

    assert [address for address in requests if not address.startswith("data:")] == [path.as_uri()]
    assert lines == []
    assert found["pictures"]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_a_telephone_and_a_screen(browser, drawn, tmp_path, width):
    """Nothing is wider than the window."""
    path = tmp_path / "report.html"
    path.write_text(drawn.html, encoding="utf-8")
    _, _, found = browser.open(path, viewport={"width": width, "height": 800})
    assert found["width"] <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, drawn, tmp_path, scheme):
    """No violation of any rule of axe-core, with every fold open; its own script stands outside the page's policy."""
    assert browser.violations(written(drawn.html, tmp_path), scheme) == []


def test_axe_finds_nothing_on_a_large_page(browser, tmp_path):
    """With every kind of section there is."""
    page = written(render_html(large_audit(tmp_path, layers=8, heads=8), tmp_path), tmp_path)
    assert browser.violations(page, "light") == []


def test_axe_would_find_something(browser, drawn, tmp_path):
    """The check can fail: a picture without words."""
    hurt = drawn.html.replace("</main>", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="></main>')
    assert "image-alt" in browser.violations(written(hurt, tmp_path), "light")


def test_findings_can_be_searched_sorted_and_linked_to(browser, drawn, tmp_path):
    """With the keyboard alone: type, choose, and follow a link into a fold."""
    with browser.page(written(drawn.html, tmp_path)) as page:
        shown = page.locator("#findings .finding:visible h3")
        assert shown.count() == 2
        page.get_by_label("Search", exact=True).focus()
        page.keyboard.type("unobserved")
        assert shown.all_inner_texts() == ["Unobserved layers, layer 4 watch"]
        assert page.locator("#count").inner_text() == "1 of 2 findings shown"
        page.get_by_label("Search", exact=True).fill("")
        page.get_by_label("Severity").select_option("fail")
        assert shown.count() == 0
        page.get_by_label("Severity").select_option("")
        page.get_by_label("Order").select_option("layer")
        assert [text[:7] for text in shown.all_inner_texts()] == ["Entropy", "Unobser"]
        page.evaluate("location.hash = '#rule-nonfinite_weights'")
        assert page.locator("#rule-nonfinite_weights").is_visible()


def test_the_keyboard_alone_reaches_every_finding(browser, drawn, tmp_path):
    """By Tab from the top, as a reader without a pointer goes."""
    with browser.page(written(drawn.html, tmp_path)) as page:
        wanted = set(page.eval_on_selector_all(".finding", "found => found.map(each => each.id)"))
        reached = set()
        for _ in range(400):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.closest('.finding')?.id"))
            if wanted <= reached:
                break
        assert wanted <= reached


def test_the_keyboard_alone_reaches_every_head(browser, drawn, tmp_path):
    """One stop of Tab, then arrow keys; Enter shows the head's numbers and its findings."""
    with browser.page(written(drawn.html, tmp_path)) as page:
        page.locator("#head-0-0").focus()
        reached = set()
        layers, heads = len(drawn.audit.coverage.layers), drawn.audit.coverage.layers[0].heads
        for _ in range(layers):
            for _ in range(heads):
                reached.add(page.evaluate("document.activeElement.id"))
                page.keyboard.press("ArrowRight")
            page.keyboard.press("Home")
            page.keyboard.press("ArrowDown")
        assert len(reached) == layers * heads
        flagged = page.locator(".picker .flagged")
        flagged.first.focus()
        page.keyboard.press("Enter")
        picked = page.locator("#picked")
        assert "Attention entropy, prose" in picked.inner_text()
        assert picked.locator('a[href^="#finding-"]').count() == 1
        assert page.evaluate("location.hash") == f"#{flagged.first.get_attribute('id')}"
        assert page.locator(".picker button[tabindex='0']").count() == 1


@pytest.mark.parametrize("height", [400, 600, 800])
def test_the_numbers_of_a_head_never_cover_it(browser, drawn, tmp_path, height):
    """The head in focus is seen, however low the window."""
    with browser.page(written(drawn.html, tmp_path), viewport={"width": 1280, "height": height}) as page:
        page.locator("#head-0-0").focus()
        page.keyboard.press("Enter")
        for _ in range(5):
            page.keyboard.press("ArrowDown")
            assert page.evaluate(
                """() => {
                    const box = document.activeElement.getBoundingClientRect();
                    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                    return document.activeElement.contains(top);
                }"""
            )


def test_a_link_to_a_head_shows_it(browser, drawn, tmp_path):
    """What was sent to a colleague opens where it was."""
    with browser.page(written(drawn.html, tmp_path)) as page:
        page.evaluate("location.hash = '#head-1-2'")
        assert page.locator("#picked h4").inner_text() == "Layer 1, head 2"


def test_the_browser_would_notice_a_request(browser, drawn, tmp_path):
    """The check can fail: a picture from elsewhere is blocked by the page's policy and complained of."""
    path = tmp_path / "report.html"
    path.write_text(
        drawn.html.replace("</main>", '<img src="https://example.invalid/x.png"></main>'), encoding="utf-8"
    )
    _, lines, found = browser.open(path)
    assert any("Content Security Policy" in line for line in lines)
    assert not found["pictures"]


def test_hostile_strings_are_inert(browser, tmp_path):
    """Scripts, handlers, bidirectional marks and endless words in names, tokens and reasons do nothing."""
    path = tmp_path / "report.html"
    text = render_html(hostile_audit(tmp_path), tmp_path)
    path.write_text(text, encoding="utf-8")
    requests, lines, found = browser.open(path, viewport={"width": 1000, "height": 800})

    assert len(requests) == 1 or all(address.startswith("data:") for address in requests[1:])
    assert lines == []
    assert found["hostile"]
    assert found["width"] <= 0
    assert "\u202e" not in text
    assert [tag for tag, _ in Tags(text).found].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in Tags(text).found for name in attrs)


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.text(max_size=200), st.sampled_from(HOSTILES)))
def test_no_string_of_an_audit_can_add_a_tag(text):
    """Names, reasons and findings of any letters leave the tags of both pages as they are, and nothing invisible."""
    for medium in ("screen", "print"):
        plain, hostile = (tags_of(said, medium) for said in ("x", text or "x"))
        assert hostile == plain


def tags_of(text, medium):
    """Tags with their attributes' names of the page of an audit that says `text` wherever it can."""
    audit = healthy_audit()
    finding = replace(
        example_audit(layers=2, heads=2).findings[0],
        statement=text, cause=text, mitigation=text, remedy=text, limits=text, reproduce=text, references=(text,),
    )  # fmt: skip
    audit = replace(
        audit,
        measurements={},
        methods={},
        findings=(finding,),
        verdict="watch",
        checks=tuple(replace(check, reason=text) for check in audit.checks),
        subject=replace(audit.subject, architecture=text, remarks=(text,)),
        provenance=replace(audit.provenance, command=text, versions={"torch": text}),
    )
    page = templating.render(page_of(audit, Path(), medium=medium, created=audit.provenance.started))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", page)
    return [(tag, sorted(attrs)) for tag, attrs in Tags(page).found if tag != "code"]  # backticks set code


def test_the_same_audit_gives_the_same_page(drawn):
    """To the byte."""
    assert render_html(drawn.audit, drawn.folder) == drawn.html


def test_every_link_leads_somewhere_and_ids_are_unique(drawn):
    """A dead link in a report costs a reviewer's trust."""
    tags = Tags(drawn.html).found
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    links = {attrs["href"].removeprefix("#") for tag, attrs in tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert links <= set(ids)


def test_every_picture_has_words(drawn):
    """The alternative text states the facts; sizes are given, so the page does not jump."""
    pictures = [attrs for tag, attrs in Tags(drawn.html).found if tag == "img"]
    assert len(pictures) == len(METRICS) + 1
    assert all("lowest" in attrs["alt"] or "receives most" in attrs["alt"] for attrs in pictures)
    assert all(attrs["width"].replace(".", "").isdigit() for attrs in pictures)


def test_the_order_is_the_reviewers(drawn):
    """Verdict first, then findings, redundancy, groups of people, anatomy, method, rules, probes, provenance, glossary."""
    order = re.findall(r'<section id="(\w+)"', drawn.html)
    assert order == [
        "summary", "findings", "redundancy", "ablations", "curves", "likeness",
        "people", "training", "anatomy", "picker", "heads", "depth", "trainability", "reach", "patterns",
        "method", "rules", "probes", "provenance", "glossary",
    ]  # fmt: skip
    assert drawn.html.index("May be promoted, with 2 findings to watch") < drawn.html.index(
        "What was not measured"
    )


def test_nothing_absent_shows_as_a_number_or_as_none(drawn):
    """No NaN, None or undefined reaches the page."""
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<(style|script)>.*?</\1>", "", drawn.html, flags=re.DOTALL))
    assert not re.search(r"\b(nan|NaN|None|undefined|inf)\b", words)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_smallest_models_have_a_report(tmp_path, layers):
    """One layer of one head."""
    audit = example_audit(layers=layers, heads=1)
    write_exhibits(audit, tmp_path)
    assert "in the only head" in render_html(audit, tmp_path) or layers == 2


def test_an_audit_without_findings_says_what_was_checked(tmp_path):
    """Rather than leave its chapters empty."""
    text = render_html(healthy_audit(), tmp_path)
    assert "No rule flagged anything." in text
    assert "Nothing that was asked for is missing." in text
    assert "No head was flagged, so no pattern was kept." in text


def test_an_audit_that_measured_nothing_has_a_report(tmp_path):
    """Every chapter says that it is empty, and why where a reason is known."""
    audit = replace(
        healthy_audit(),
        measurements={},
        methods={},
        checks=(),
        rules={},
        coverage=replace(healthy_audit().coverage, probes=()),
    )
    text = render_html(audit, tmp_path)
    assert "No head metric was measured." in text
    assert "No layer metric was measured." in text
    assert "No rule was run." in text


def test_hundreds_of_findings_stay_bounded(tmp_path):
    """The first ones in full, then lines, then a count; the whole is in audit.json."""
    audit = example_audit(layers=2, heads=2)
    many = tuple(replace(audit.findings[0], id=f"entropy_collapse-{n}") for n in range(2300))
    text = render_html(replace(audit, findings=many, exhibits=()), tmp_path)
    assert text.count('<article id="finding-') == 200
    assert "100 more findings in audit.json." in text
    assert len(text) < 5_000_000


def test_a_large_model_stays_under_five_megabytes(tmp_path):
    """32 x 32 heads with sixty findings and every exhibit."""
    assert len(render_html(large_audit(tmp_path), tmp_path).encode()) < 5_000_000


def loaded_by(module):
    code = f"import sys, {module}; print(*(name for name in sys.modules if '.' not in name))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        ).stdout.split()
    )


def test_drawing_a_report_loads_no_model_library():
    """A report reads results only; what it does need is seen by the same look."""
    loaded = loaded_by("audit.report.rendering") | loaded_by("audit.report.press")
    assert loaded.isdisjoint({"torch", "transformers", "datasets"})
    assert {"altair", "weasyprint"} <= loaded
