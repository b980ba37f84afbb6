"""The shipped corpora: prose.py, code.py and long.py."""

import re
from importlib.resources import files

import pytest

from audit.definitions import Probe
from audit.probes import code, corpus, long, prose

CORPORA = (prose, code, long)


def test_prose_has_128_essays_of_300_words():
    """What the contract of the prose probe says."""
    documents = prose.PROBE.documents()

    assert len(documents) >= 128
    assert min(len(document.text.split()) for document in documents) >= 300


def test_code_has_128_excerpts_of_40_lines_of_code():
    """Blank lines do not count towards the 40."""
    documents = code.PROBE.documents()

    assert len(documents) >= 128
    assert min(sum(bool(line.strip()) for line in document.text.split("\n")) for document in documents) >= 40


def test_code_speaks_many_languages_and_takes_each_module_once():
    """Diversity: a dozen languages, and no two excerpts of one Python module."""
    ids = [document.id for document in code.PROBE.documents()]
    modules = [re.sub(r"\.\w+$", "", name) for name in ids if name.startswith("python:")]

    assert len({name.split(":")[0] for name in ids}) >= 12
    assert len(set(modules)) == len(modules) >= 100


def test_long_has_16_stretches_of_6000_words_in_paragraphs():
    """Lines of a paragraph are joined; paragraphs stay apart."""
    documents = long.PROBE.documents()

    assert len(documents) == 16
    assert min(len(document.text.split()) for document in documents) >= 6000
    assert all("\n\n" in document.text for document in documents)
    assert not any(re.search(r"[^\n]\n[^\n]", document.text) for document in documents)


@pytest.mark.parametrize("module", CORPORA, ids=lambda module: module.PROBE.name)
def test_no_document_comes_twice(module):
    """Neither an id nor a text, nor a text that shares its beginning with another."""
    documents = module.PROBE.documents()

    assert len({document.id for document in documents}) == len(documents)
    assert len({document.text[:200] for document in documents}) == len(documents)


def test_no_two_essays_share_a_passage():
    """Twelve words in a row occur in one essay only, so that essays are independent samples."""
    seen: dict[tuple[str, ...], str] = {}
    for document in prose.PROBE.documents():
        words = re.findall(r"\w+", document.text.lower())
        for start in range(len(words) - 11):
            assert seen.setdefault(tuple(words[start : start + 12]), document.id) == document.id


@pytest.mark.parametrize("module", CORPORA, ids=lambda module: module.PROBE.name)
def test_the_recorded_digest_is_that_of_the_documents_and_of_the_file(module):
    """One digest serves the check of the file and the identity of the probe."""
    assert corpus.digest(module.PROBE.documents()) == module.DIGEST


@pytest.mark.parametrize("module", CORPORA, ids=lambda module: module.PROBE.name)
def test_a_built_in_probe_is_public_and_fed_at_its_depths(module):
    """Prose at every depth; standard adds code; full adds long."""
    expected = {"prose": {"quick", "standard", "full"}, "code": {"standard", "full"}, "long": {"full"}}

    assert isinstance(module.PROBE, Probe)
    assert expected[module.PROBE.name] == set(module.PROBE.depths)
    assert not module.PROBE.private


def test_every_corpus_has_its_source_and_licence_beside_it():
    """NOTICE.md names each file; the licence of the Python excerpts is shipped whole."""
    data = files("audit.probes") / "data"
    notice = (data / "NOTICE.md").read_text("utf-8")
    corpora = {item.name for item in data.iterdir() if item.name.endswith(".jsonl")}

    assert corpora == {"prose.jsonl", "code.jsonl", "long.jsonl"}
    assert all(f"## {name}" in notice for name in corpora)
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in (data / "LICENSE-Python.txt").read_text("utf-8")
