"""A trainer's record is read where it can be, never refuses a checkpoint, and is part of its digest."""

import json
import math
import os

import pytest

from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from tests import training_records as made


def test_a_checkpoint_without_a_record_has_none(sound):
    assert all(
        open_checkpoint(folder).training is None for folder in sound.values() if folder.name != "pickle"
    )


@pytest.mark.parametrize("form", ["bert", "gguf"])
def test_a_record_is_read_and_changes_the_digest(copied, form):
    """In a folder and beside a GGUF file; lines of one step are put together, the summary at the end is none."""
    folder = copied(form)
    before = open_checkpoint(folder)
    made.write(folder, made.log())
    opened = open_checkpoint(folder)
    record = opened.training

    assert (record.steps, record.planned, record.epochs, record.lines) == (1200, 1200, 3.0, 120)
    assert [line.step for line in record.curve] == list(range(10, 1201, 10))
    assert record.curve[39].eval_loss == 1.6
    assert record.curve[39].loss is not None
    assert record.files == ("trainer_state.json",)
    assert opened.digest != before.digest
    assert "trainer_state.json" in {file.name for file in opened.files}


def test_arguments_are_read_from_json_and_dropout_from_the_configuration(copied):
    """Known names only; a pickle of them is named and never opened."""
    folder = copied("bert")
    arguments = {
        "learning_rate": 2e-4,
        "max_grad_norm": 1,
        "bf16": True,
        "lr_scheduler_type": "x" * 99,
        "hub_token": "t",
    }
    (folder / "training_args.json").write_text(json.dumps(arguments))
    (folder / "training_args.bin").write_bytes(b"\x80\x04not a pickle")
    record = open_checkpoint(folder).training

    settings = {each.name: each.value for each in record.settings}
    assert settings | {"hidden_dropout_prob": 0.1} == settings
    assert (settings["learning_rate"], settings["max_grad_norm"], settings["bf16"]) == (2e-4, 1.0, "true")
    assert settings["lr_scheduler_type"] == "x" * 80
    assert "hub_token" not in settings
    assert record.absent == "no trainer_state.json stands with the checkpoint"
    assert any("training_args.bin was not read" in remark for remark in record.remarks)


def test_numbers_that_are_not_finite_are_kept_as_logged(copied):
    """Python's json writes NaN; some loggers write numbers as text."""
    folder = copied("bert")
    lines = [
        {"step": 1, "loss": made.NAN, "grad_norm": made.INF},
        {"step": 2, "loss": "1.5", "grad_norm": "nan"},
    ]
    made.write(folder, lines)
    first, second = open_checkpoint(folder).training.curve
    assert math.isnan(first.loss)
    assert first.gradient_norm == math.inf
    assert second.loss == 1.5
    assert math.isnan(second.gradient_norm)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def huge(path):
    with path.open("r+b") as file:
        file.truncate(32_000_001)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "is not JSON"),
        (huge, "is larger than 32000000 bytes"),
        (lambda path: path.write_text("[1]"), "holds a JSON list"),
        (lambda path: path.write_text("[" * 100_000), "is not JSON"),
        (lambda path: path.write_text("{}"), "logs no step"),
        (lambda path: path.write_text('{"log_history": 7, "epoch": 1}'), "logs no step"),
        (lambda path: path.write_text('{"log_history": [3, {"step": true}, {"step": "x", "loss": 1}]}'), "logs no step"),
        (lambda path: path.write_text('{"log_history": [{"step": 1, "loss": 1' + "0" * 400 + "}]}"), "logs no step"),
    ],
    ids=["truncated", "huge", "a list", "nested", "empty", "no list", "no steps", "a number beyond floats"],
)  # fmt: skip
def test_a_record_that_cannot_be_used_is_told_and_refuses_nothing(copied, spoil, words):
    """The checkpoint opens; one line says why there is no course."""
    folder = copied("bert")
    spoil(made.write(folder, made.log()))
    record = open_checkpoint(folder).training
    assert words in record.absent
    assert record.curve == ()


def test_a_link_that_leads_out_is_refused_as_elsewhere(copied, tmp_path):
    folder = copied("gguf")
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "trainer_state.json").symlink_to(made.write(outside, made.log()))
    with pytest.raises(RefusedCheckpoint, match="leads out"):
        open_checkpoint(folder)
