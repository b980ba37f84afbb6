"""A headless Chromium for the tests of what people will see."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]

QUIET_MS = 500  # after a page has loaded, for what it might still ask for


class Browser:
    """A headless Chromium that notes every request and every line of its console."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, path, **options):
        """What the page asked for and said, and what `script` found in it."""
        page = self.browser.new_page(**options)
        requests, lines = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: lines.append(message.text))
        page.on("pageerror", lambda error: lines.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_timeout(QUIET_MS)  # "networkidle" sometimes waits for ever for what the policy blocked
        found = page.evaluate(
            """() => ({
                pictures: [...document.images].every(image => image.complete && image.naturalWidth > 0),
                hostile: window.pwned === undefined,
                width: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                ids: [...document.querySelectorAll('[id]')].map(element => element.id),
            })"""
        )
        page.close()
        return requests, lines, found

    @contextmanager
    def page(self, path, **options):
        """The page at `path`, open."""
        page = self.browser.new_page(**options)
        page.goto(path.as_uri())
        yield page
        page.close()

    def violations(self, path, scheme):
        """Names of the rules of axe-core that the page breaks, all its folds open."""
        with self.page(path, color_scheme=scheme, bypass_csp=True) as page:
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            return [each["id"] for each in Axe().run(page).response["violations"]]


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        told = f"{CHROMIUM} is missing: apt-get install chromium"
        pytest.fail(told) if os.environ.get("CI") == "true" else pytest.skip(told)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield Browser(launched)
        launched.close()


def written(text, folder):
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path
