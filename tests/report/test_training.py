"""The section on the training record: with a record, with a broken one, without one."""

from dataclasses import replace

from audit.checkpoint.training_record import read_training
from audit.history import trained
from audit.report.html import render_html
from audit.report.training import training
from audit.results.training import Setting, Training
from tests import training_records as made
from tests.report.example import example_audit, write_exhibits


def audit_with(record):
    return replace(example_audit(), training=record)


def recorded(tmp_path, **changes):
    path = made.write(tmp_path, made.log(**changes))
    record = read_training({path.name: path}, [path.name], {})
    bound = Setting(name="max_grad_norm", value=1.15, file="args.json")
    return trained(replace(record, settings=(bound,)))


def test_a_record_is_told_in_facts_and_drawn(tmp_path):
    """Levels, oscillation, excursions, schedule, clipping; three charts, and their numbers on screen."""
    block = training(audit_with(recorded(tmp_path, **made.SPIKY)), medium="screen")
    facts = {row.label: row.text for row in block.facts}
    assert list(facts) == [
        "Made",
        "Loss",
        "Oscillation",
        "Evaluation",
        "Excursions",
        "Learning rate",
        "Clipping",
    ]
    assert "at step 600" in facts["Excursions"]
    assert "highest after 10% of the recorded steps" in facts["Learning rate"]
    assert block.figure.table.head[0] == "step"
    assert block.settings.rows == (("max_grad_norm", "1.15", "args.json"),)
    assert training(audit_with(recorded(tmp_path)), medium="print").figure.table is None


def test_what_is_not_finite_is_said(tmp_path):
    diverged = {
        row.label for row in training(audit_with(recorded(tmp_path, **made.DIVERGED)), medium="print").facts
    }
    once = {
        row.label
        for row in training(audit_with(recorded(tmp_path, grad_norm={9: made.NAN})), medium="print").facts
    }
    assert "Broken" in diverged
    assert "Not finite" in once


def test_no_record_and_a_broken_one_say_so(tmp_path):
    assert training(audit_with(None), medium="screen").note.startswith("No record stands with the checkpoint")
    broken = Training(
        files=(),
        absent="'trainer_state.json' is not JSON",
        remarks=("'trainer_state.json' is not JSON", "another remark"),
    )
    block = training(audit_with(broken), medium="screen")
    assert block.note == "'trainer_state.json' is not JSON."
    assert block.remarks == ("Another remark.",)
    assert (block.figure, block.facts) == (None, ())


def test_the_page_holds_the_section(tmp_path):
    audit = audit_with(recorded(tmp_path))
    write_exhibits(audit, tmp_path)
    page = render_html(audit, tmp_path)
    assert '<section id="training">' in page
    assert 'href="#training"' in page
