"""The store's front page: complete, quick, never in the way of a publication, and inert whatever audits are called."""

import fcntl
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import meta

from audit import store as stores
from audit.batch import Row as BatchRow
from audit.batch import batch_of
from audit.report import shelf, shelf_page, shelving, templating
from audit.report.batch import publish_batch
from audit.report.shelf_page import ShelfPage
from tests.report.example import example_audit
from tests.report.test_html import HOSTILE

EXAMPLE = example_audit(layers=1, heads=1)


def audit(path="models/base", *, day=1, verdict="watch", findings=None):
    provenance = replace(EXAMPLE.provenance, path=path, started=f"2026-05-{day:02d}T12:00:00+00:00")
    name = f"{abs(hash((path, day))):016x}"[:16]
    found = EXAMPLE.findings if findings is None else EXAMPLE.findings[:findings]
    return replace(EXAMPLE, audit_id=name, provenance=provenance, verdict=verdict, findings=found)


def publish(store, *audits):
    """Each as an attempt of its own would."""
    for each in audits:
        with stores.attempt(store) as folder:
            stores.write_audit(each, folder)
            stores.publish(folder, store, each.audit_id)


def page(store):
    return (store / shelving.PAGE).read_text("utf-8")


def rows_in(text, section):
    table = re.search(rf'<section id="{section}".*?</section>', text, re.DOTALL)[0]
    return re.findall(r"<tr data-verdict=.*?</tr>", table, re.DOTALL)


def test_the_template_uses_every_name_of_the_page_and_no_other():
    """The fields are the contract of the template, in both directions."""
    environment = templating.environment()
    used = set()
    for name in ("catalogue.html", "base.html"):
        text = (templating.template_folder() / name).read_text("utf-8")
        used |= meta.find_undeclared_variables(environment.parse(text))
    assert used == {field.name for field in fields(ShelfPage)}


def test_the_page_lists_every_audit_and_each_model_at_its_latest(tmp_path):
    """Steps of one training are one model; the line of findings is in words too."""
    run = [audit(f"runs/a/checkpoint-{100 * day}", day=day, findings=day % 3) for day in (1, 2, 3, 4)]
    publish(tmp_path, *run, audit("models/base", verdict="fail"))
    assert shelving.shelve(tmp_path)
    text = page(tmp_path)

    assert "5 audits of 2 models. At their latest: 1 fail and 1 watch." in text
    models = rows_in(text, "models")
    assert len(models) == 2
    assert f'href="./{run[-1].audit_id}/report.html"' in models[0]
    assert "Findings in the last 4 audits, oldest first: 1, 2, 0, 1" in models[0]
    audits = rows_in(text, "audits")
    assert len(audits) == 5
    assert sum("data-latest" in row for row in audits) == 2


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("runs/a/checkpoint-100", "a"),
        ("runs/a/step_5/", "a"),
        ("checkpoint-7", "checkpoint-7"),
        ("hub/models--org--name/snapshots/abc", "org/name"),
        ("models/base.gguf", "base.gguf"),
        ("", "checkpoint"),
    ],
)
def test_what_an_audit_is_lined_up_under(path, model):
    """The name a reader would use."""
    assert shelf.model_of(path) == model


def test_an_audit_is_read_once(tmp_path, monkeypatch):
    """Each publication reads what is new, not what thousands before it published."""
    publish(tmp_path, *(audit(day=day) for day in range(1, 9)))
    shelving.rebuild(tmp_path)
    read = []
    original = stores.read
    monkeypatch.setattr(stores, "read", lambda folder: read.append(folder.name) or original(folder))
    new = audit("models/new", day=20)
    publish(tmp_path, new)
    shelving.rebuild(tmp_path)
    assert read == [new.audit_id]
    assert "9 audits of 2 models" in page(tmp_path)


def test_a_store_that_was_never_listed_is_listed_bit_by_bit(tmp_path, monkeypatch, attnaudit):
    """One publication reads at most so many; `report STORE` reads them all."""
    monkeypatch.setattr(shelf, "READ_AT_ONCE", 2)
    publish(tmp_path, *(audit(day=day) for day in range(1, 6)))
    shelving.rebuild(tmp_path)
    assert "2 audits of 1 model" in page(tmp_path)
    assert "3 audits not listed yet" in page(tmp_path)
    ran = attnaudit("report", tmp_path)
    assert ran.code == 0
    assert ran.out.strip() == str(tmp_path / "index.html")
    assert "5 audits of 1 model" in page(tmp_path)


def test_what_is_gone_replaced_or_damaged_shows(tmp_path):
    """The list follows the store; an audit that cannot be read is named with the reason."""
    first, second, third = audit(day=1), audit(day=2), audit("models/old", day=3)
    publish(tmp_path, first, second, third)
    shelving.rebuild(tmp_path)
    (tmp_path / first.audit_id / stores.MANIFEST).unlink()
    edited = tmp_path / second.audit_id / stores.AUDIT
    edited.write_bytes(edited.read_bytes().replace(b'"verdict": "watch"', b'"verdict": "pass"'))
    old = tmp_path / third.audit_id
    content = (
        (old / stores.AUDIT).read_bytes().replace(b'"schema_version": "1.0"', b'"schema_version": "0.9"')
    )
    (old / stores.AUDIT).write_bytes(content)
    stores.write_manifest(old)
    shelving.rebuild(tmp_path)
    text = page(tmp_path)
    assert "2 audits of 0 models" in text
    assert first.audit_id not in text
    assert "was edited after publication" in text
    assert "has schema" in text


@pytest.mark.parametrize("kept", [b"", b"{", b'{"version": 0, "rows": {}}', b'{"version": 1, "rows": 3}'])
def test_what_is_kept_beside_the_page_is_no_truth(tmp_path, kept):
    """Lost, torn or of another version, it is made anew."""
    publish(tmp_path, audit())
    (tmp_path / shelf.ROWS).write_bytes(kept)
    shelving.rebuild(tmp_path)
    assert "1 audit of 1 model" in page(tmp_path)


def test_publications_at_the_same_time_are_all_listed(tmp_path):
    """They take turns, and the last one sees what the others published; nothing temporary is left."""
    audits = [audit(f"models/{number}", day=1 + number) for number in range(16)]

    def one(each):
        publish(tmp_path, each)
        return shelving.shelve(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, audits))
    text = page(tmp_path)
    assert all(f"./{each.audit_id}/report.html" in text for each in audits)
    left = {path.name for path in tmp_path.iterdir()} - {each.audit_id for each in audits}
    assert left == {shelving.PAGE, shelf.ROWS, shelving.LOCK}


@pytest.mark.parametrize("what", ["a folder in the way", "another one holds the lock", "a fault of ours"])
def test_a_publication_never_fails_by_its_list(tmp_path, monkeypatch, what):
    """The batch is published; only the list is not."""
    monkeypatch.setattr(shelving, "PATIENCE", 0.05)
    if what == "a folder in the way":
        (tmp_path / shelving.PAGE).mkdir()
    if what == "a fault of ours":
        monkeypatch.setattr(shelving, "drawn", lambda *_: 1 / 0)
    with (tmp_path / shelving.LOCK).open("ab") as held:
        if what == "another one holds the lock":
            fcntl.flock(held, fcntl.LOCK_EX)
        batch = batch_of(
            "b",
            [BatchRow(checkpoint="m", state="failed", exit_code=2, reason="no")],
            started="2026-05-04T12:00:00+00:00",
            seconds=1,
        )
        folder = publish_batch(batch, tmp_path, pdf=False)
    assert stores.exists(tmp_path / "batches", folder.name)
    assert not (tmp_path / shelving.PAGE).is_file()


def test_batches_and_comparisons_are_linked(tmp_path):
    """Pages in the store's folder for comparisons, under their own names."""
    publish(tmp_path, audit())
    (tmp_path / shelf.COMPARISONS).mkdir()
    (tmp_path / shelf.COMPARISONS / "before & after.html").write_text("")
    rows = [BatchRow(checkpoint="m", state="failed", exit_code=2, reason="no")]
    folder = publish_batch(
        batch_of("release <7>", rows, started="2026-05-04T12:00:00+00:00", seconds=1), tmp_path, pdf=False
    )
    text = page(tmp_path)
    assert f'<a href="./batches/{folder.name}/report.html"><bdi>release &lt;7&gt;</bdi></a>' in text
    assert "2026-05-04, 1 checkpoint, exit code 3" in text
    assert '<a href="./comparisons/before%20%26%20after.html"><bdi>before &amp; after</bdi></a>' in text


@given(st.text(), st.text(max_size=40))
def test_names_are_inert(name, identity):
    """No tag, no attribute and no address comes from a name, and nothing invisible is left."""
    row = shelf.Row(stamp="1", name=name, model=name, about=name, policy=name, depth=name, verdict="fail")
    link = shelf.Link(href="./batches/x/report.html", name=name, note=name)
    plain = shelf_page.drawn({identity: replace_text(row, "x")}, 0, [link._replace(name="x", note="x")], [])
    text = shelf_page.drawn({identity: row}, 0, [link], [])
    assert re.findall(r"<[a-z/][^<>]*>", text.split("</style>")[1].split("<script>")[0]) == re.findall(
        r"<[a-z/][^<>]*>", plain.split("</style>")[1].split("<script>")[0]
    )
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", text)


def replace_text(row, text):
    return msgspec.structs.replace(row, name=text, model=text, about=text, policy=text, depth=text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, tmp_path, scheme):
    """No violation of any rule of axe-core."""
    publish(tmp_path, audit("models/base", verdict="fail"), audit("models/base", day=2, verdict="pass"))
    shelving.rebuild(tmp_path)
    assert browser.violations(tmp_path / shelving.PAGE, scheme) == []


def test_a_keyboard_searches_and_filters(browser, tmp_path):
    """No request, no complaint; what was asked for is in the address, and a shared address asks it again."""
    publish(
        tmp_path,
        audit("models/base", verdict="fail"),
        audit("models/base", day=2, verdict="pass"),
        audit(f"models/{HOSTILE[:60]}", day=3),
    )
    shelving.rebuild(tmp_path)
    opened = browser.browser.new_page(viewport={"width": 360, "height": 800})
    requests, lines = [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: lines.append(message.text))
    opened.on("pageerror", lambda error: lines.append(str(error)))
    opened.goto((tmp_path / shelving.PAGE).as_uri())

    def shown():
        return opened.locator("#audits tbody tr:not([hidden])").count()

    assert shown() == 3
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth && window.pwned === undefined")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    opened.keyboard.type("base")
    assert shown() == 2
    assert opened.locator("#count").inner_text() == "2 of 3 audits shown"
    opened.keyboard.press("Tab")
    opened.keyboard.type("fail")
    assert shown() == 1
    opened.reload()
    assert shown() == 1
    opened.keyboard.press("Tab")
    opened.locator("#latest").focus()
    opened.keyboard.press("Space")
    assert shown() == 0
    opened.close()
    assert lines == []
    assert {address.split("#")[0] for address in requests} == {(tmp_path / shelving.PAGE).as_uri()}
