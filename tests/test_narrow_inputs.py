"""Inputs at the edge of what can be judged: the audit is made, claims no more than it can, and says why."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from audit import Plan, audit_checkpoint
from audit.errors import UnusableInput
from audit.results import Audit

SHORT = "The river rose in the night."


def audited(checkpoint: Path, store: Path, **changes: object) -> Audit:
    plan = Plan(depth="standard", samples=16, max_length=32, **changes)  # type: ignore[arg-type]
    return audit_checkpoint(checkpoint, plan, store=store, pdf=False)


@pytest.fixture
def single(bert_tiny: Path, tmp_path: Path) -> Path:
    """A GPT-2 of one layer with one head, as it was initialised."""
    tokenizer = AutoTokenizer.from_pretrained(bert_tiny)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=1, n_positions=64)
    )
    model.save_pretrained(tmp_path / "single")
    tokenizer.save_pretrained(tmp_path / "single")
    return tmp_path / "single"


def test_one_layer_of_one_head_no_better_than_chance(single: Path, tmp_path: Path) -> None:
    """Rules that compare heads do not apply; whatever is flagged, no ablation claims that it is redundant."""
    audit = audited(single, tmp_path)

    checks = {check.rule: check for check in audit.checks}
    assert checks["duplicate_head"].outcome == "not_applicable"
    tried = [f.confirmation for f in audit.findings if f.confirmation.status != "absolute"]
    assert tried
    assert {confirmation.status for confirmation in tried} == {"not_attempted"}
    assert any("not better than chance" in confirmation.reason for confirmation in tried)
    assert audit.verdict in ("pass", "watch")


def test_a_loss_that_is_not_finite_confirms_nothing(single: Path, tmp_path: Path) -> None:
    """The NaN is the finding; nothing else is claimed."""
    model = GPT2LMHeadModel.from_pretrained(single)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[0, 0] = torch.nan
    model.save_pretrained(single)

    audit = audited(single, tmp_path)

    assert audit.verdict == "fail"
    assert "nonfinite_weights" in [finding.rule for finding in audit.findings]
    assert {f.confirmation.status for f in audit.findings} <= {"absolute", "not_attempted"}


def test_a_handful_of_samples_decides_nothing(bert_tiny: Path, tmp_path: Path) -> None:
    """Without 16 documents there is no interval, which is said, and nothing is confirmed."""
    audit = audit_checkpoint(
        bert_tiny, Plan(depth="standard", samples=4, max_length=32), store=tmp_path, pdf=False
    )

    entropy = audit.measurements["attention_entropy"]["prose"]
    assert (entropy.low, entropy.high) == (None, None)
    assert entropy.absent is not None
    assert "4 documents are too few" in entropy.absent
    assert "confirmed" not in {finding.confirmation.status for finding in audit.findings}


def test_one_kind_of_text_cannot_show_dormant_heads(bert_tiny: Path, tmp_path: Path) -> None:
    """The check says which was missing a companion."""
    audit = audited(bert_tiny, tmp_path, probes=("prose",))

    (check,) = (check for check in audit.checks if check.rule == "dormant_head")
    assert check.outcome == "not_measured"
    assert "one kind of text only (prose)" in check.reason


def test_texts_too_short_to_be_fed_are_refused_in_one_line(bert_tiny: Path, tmp_path: Path) -> None:
    """Nine tokens are no sequence to look at attention in."""
    with pytest.raises(
        UnusableInput, match=r"short\.jsonl' gives no window of 14 tokens or more; give longer"
    ):
        audited(bert_tiny, tmp_path, probes=(_probe(tmp_path, SHORT),))


def test_texts_too_short_for_rows_leave_cells_absent_with_a_reason(bert_tiny: Path, tmp_path: Path) -> None:
    """Fifteen tokens each: what needs longer rows is absent, never zero, and its rule is not measured."""
    audit = audited(bert_tiny, tmp_path, probes=(_probe(tmp_path, f"{SHORT} It fell by the morning."),))

    (divergence,) = audit.measurements["input_divergence"].values()
    assert divergence.value is None
    assert divergence.absent is not None
    assert "texts of 17 tokens" in divergence.absent
    (check,) = (check for check in audit.checks if check.rule == "static_head")
    assert check.outcome == "not_measured"


def _probe(folder: Path, text: str) -> str:
    """A file of twenty documents that hardly differ."""
    rows = [json.dumps({"text": text.replace("river", f"{word} river")}) for word in "abcdefghijklmnopqrst"]
    (folder / "short.jsonl").write_text("\n".join(rows), "utf-8")
    return str(folder / "short.jsonl")
