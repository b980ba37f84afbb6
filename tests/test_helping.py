"""Help with an audit: what it measures is not measured again, and it stops where nobody wants it."""

import shutil

import pytest

from audit import pieces, store
from audit.helping import help_audit
from audit.progress import Silent
from tests.test_partial import BATCHES, PLAN, attempt, contents


@pytest.fixture
def passes(monkeypatch):
    """Batches observed, and what to do at each."""
    real, noted = pieces.observe, []

    def observe(*given, **named):
        noted.append(given)
        return real(*given, **named)

    monkeypatch.setattr(pieces, "observe", observe)
    return noted


def help_with(checkpoint, folder):
    help_audit(
        checkpoint,
        PLAN,
        policy=None,
        adapter=None,
        model_root=checkpoint.parent,
        store=folder,
        force=False,
        progress=Silent(),
    )


def test_what_was_helped_with_is_not_measured_again(passes, bert_tiny, tmp_path):
    """Help that comes before the attempt: that one only gathers, and publishes the same bytes."""
    whole = attempt(bert_tiny, tmp_path / "whole")
    passes.clear()
    help_with(bert_tiny, tmp_path)
    assert (len(passes), store.published(tmp_path)) == (BATCHES, [])
    audit = attempt(bert_tiny, tmp_path)
    assert len(passes) == BATCHES
    assert contents(tmp_path / audit.audit_id) == contents(tmp_path / "whole" / whole.audit_id)
    # and help that comes too late does nothing and leaves nothing
    help_with(bert_tiny, tmp_path)
    assert len(passes) == BATCHES
    assert store.partials(tmp_path) == []


def test_help_ends_where_the_audit_was_published_meanwhile(bert_tiny, tmp_path, monkeypatch):
    """The folder of what was measured is gone then, and is not made again."""
    real, seen = pieces.observe, []

    def observe(*given, **named):
        seen.append(given)
        if len(seen) == 3:
            shutil.rmtree(*store.partials(tmp_path))
        return real(*given, **named)

    monkeypatch.setattr(pieces, "observe", observe)
    help_with(bert_tiny, tmp_path)
    assert len(seen) == 3
    assert list(tmp_path.iterdir()) == []
