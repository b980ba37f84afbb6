"""Help with an audit: what it measures is not measured again, and it stops where nobody wants it."""

import dataclasses
import shutil

import pytest

from audit import pieces, sharing, store
from audit.helping import help_audit
from audit.progress import Silent
from tests.test_partial import BATCHES, PLAN, attempt, contents

PEOPLE = dataclasses.replace(PLAN, probes=("prose", "demographics"), confirm=True, samples=16)
TAKEN_OUT = dataclasses.replace(PLAN, confirm=True, samples=20, max_length=48, batch_size=4)


@pytest.fixture
def passes(monkeypatch):
    """Batches observed, and what to do at each."""
    real, noted = pieces.observe, []

    def observe(*given, **named):
        noted.append(given)
        return real(*given, **named)

    monkeypatch.setattr(pieces, "observe", observe)
    return noted


def help_with(checkpoint, folder, plan=PLAN):
    help_audit(
        checkpoint,
        plan,
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


def shared(checkpoint, folder, plan, monkeypatch):
    """The audit that was helped with, which is what it would be alone; and how many steps were made for it."""
    noted, whole = [], attempt(checkpoint, folder / "whole", plan)

    class Noted(sharing.Kept):
        def write(self, data):
            noted.append(data)
            super().write(data)

    monkeypatch.setattr(sharing, "Kept", Noted)
    help_with(checkpoint, folder, plan)
    assert {*folder.iterdir()} == {folder / "whole", *store.partials(folder)}
    steps, noted[:] = len(noted), []
    audit = attempt(checkpoint, folder, plan)
    assert noted == []
    assert contents(folder / audit.audit_id) == contents(folder / "whole" / whole.audit_id)
    assert (store.partials(folder), store.attempts(folder)) == ([], {})
    return audit, steps


def test_groups_of_people_and_drop_curves_are_shared_too(bert_tiny, tmp_path, monkeypatch):
    """Whoever comes to a step first makes it; the audit that was helped with makes none."""
    audit, steps = shared(bert_tiny, tmp_path, PEOPLE, monkeypatch)
    assert all(curve.steps for curve in audit.drop_curves)
    assert (
        steps >= 2 * len(audit.skew[0].axes) + PEOPLE.samples // PEOPLE.batch_size
    )  # read and weighed; tried


def test_what_is_taken_out_is_shared_too(minilm, tmp_path, monkeypatch):
    """Batch by batch, beside those of the curves."""
    audit, steps = shared(minilm, tmp_path, TAKEN_OUT, monkeypatch)
    assert audit.ablation is not None
    assert audit.ablation.documents >= 16
    assert steps >= 2 * TAKEN_OUT.samples // TAKEN_OUT.batch_size + 2 * 16 // TAKEN_OUT.batch_size


def test_help_under_another_policy_is_for_its_experiments(passes, bert_tiny, tmp_path):
    """What was measured stays, and nothing is left behind."""
    attempt(bert_tiny, tmp_path, PEOPLE)
    passes.clear()
    help_audit(
        bert_tiny,
        PEOPLE,
        policy="strict",
        adapter=None,
        model_root=bert_tiny.parent,
        store=tmp_path,
        force=False,
        progress=Silent(),
    )
    assert (passes, len(store.partials(tmp_path)), store.attempts(tmp_path)) == ([], 1, {})


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
