"""From an audit to a smaller checkpoint that is audited again, and nothing left behind where that fails."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from audit import Plan, audit_checkpoint, pruner, store
from audit.errors import MachineFault, UnusableInput
from audit.pruner import Source, plan_of, prune_audited

SMALL = Plan(depth="standard", samples=16, max_length=32)


@pytest.fixture(scope="module")
def audited(bert_tiny, tmp_path_factory) -> Path:
    """An audit of BERT-tiny at depth standard."""
    folder = tmp_path_factory.mktemp("store")
    return folder / audit_checkpoint(bert_tiny, SMALL, store=folder, pdf=False).audit_id


def test_the_command_writes_audits_and_shows_before_and_after(audited, tmp_path, attnaudit):
    """A checkpoint that plain from_pretrained loads; sizes, cost with interval, findings, verdict, report."""
    new = tmp_path / "smaller"
    ran = attnaudit("prune", audited, "-o", new, "--layers", "1", "--heads", "0:1")
    assert ran.code == 0, ran.err
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(new), AutoTokenizer.from_pretrained(new)
    assert model.config.num_hidden_layers == 1
    assert torch.isfinite(model(**tokenizer("a [MASK] text", return_tensors="pt")).logits).all()
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line[0] != " "}
    assert "block of layer 1: named; not confirmed by the audit" in lines["left"]
    assert "head 1 of layer 0" in lines["silenced"]
    assert "2 blocks before, 1 after" in lines["size"]
    assert "loss on 15% masked tokens" in lines["cost"]
    assert "NOT inside the margin" in lines["cost"]
    after = Path(lines["report"].split()[1]).parent
    assert after.parent == audited.parent
    assert store.read(after).subject.blocks == 1
    assert store.read(after).plan == store.read(audited).plan


def test_nothing_confirmed_is_a_refusal_that_says_what_to_do(audited, tmp_path, attnaudit):
    """BERT-tiny needs both of its blocks."""
    ran = attnaudit("prune", audited, "-o", tmp_path / "new")
    assert ran.code == 2
    assert "nothing to prune" in ran.err
    assert "--layers" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_changed_since_is_refused(audited, bert_tiny, tmp_path):
    """Its digest is compared before anything is loaded."""
    copy = shutil.copytree(bert_tiny, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}))
    with pytest.raises(UnusableInput, match="is not what was audited: its digest is"):
        prune_audited(audited, tmp_path / "new", source=Source(checkpoint=copy), layers=[1])
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_that_moved_can_be_pointed_to(audited, tmp_path):
    """The path is provenance; where it leads nowhere, an option says where the files are."""
    lost = shutil.copytree(audited, tmp_path / "store" / "lost")
    audit = store.read(lost)
    moved = replace(audit, provenance=replace(audit.provenance, path=str(tmp_path / "gone")))
    store.write_audit(moved, lost)
    store.write_manifest(lost)
    with pytest.raises(UnusableInput, match="no longer at .* say with --checkpoint"):
        prune_audited(lost, tmp_path / "new", layers=[1])


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MachineFault("no space")])
def test_a_checkpoint_that_could_not_be_audited_is_not_left_behind(audited, tmp_path, monkeypatch, fault):
    """Be it for an error or because someone pressed Ctrl-C."""

    def failing(directory, *_, **__):
        assert (directory / "model.safetensors").is_file()
        raise fault

    monkeypatch.setattr(pruner, "audit_checkpoint", failing)
    with pytest.raises((KeyboardInterrupt, MachineFault)):
        prune_audited(audited, tmp_path / "new", layers=[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layers", "7"], "there is no layer 7: the model has 2"),
        (["--heads", "0:9"], "there is no head 9 in layer 0"),
        (["--layers", "0-1"], "all 2 blocks of"),
        (["--layers", "x"], "'x' names no layers: write 3, 3,5 or 12-14"),
        (["--layers", "5-3"], "'5-3' names no layers"),
        (["--heads", "3"], "'3' is no head: write LAYER:HEAD"),
    ],
)
def test_what_makes_no_sense_is_one_line(audited, tmp_path, attnaudit, words, said):
    """Exit code 2, and nothing on disk."""
    ran = attnaudit("prune", audited, "-o", tmp_path / "new", *words)
    assert ran.code == 2
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_and_a_folder_without_an_audit_are_refused(audited, tmp_path, attnaudit):
    """Before anything is loaded."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").write_text("mine")
    ran = attnaudit("prune", audited, "-o", tmp_path / "used", "--layers", "1")
    assert (ran.code, "is no empty folder" in ran.err) == (2, True)
    assert attnaudit("prune", tmp_path, "-o", tmp_path / "new").code == 2


def test_the_new_audit_is_made_as_the_old_one_was(audited):
    """Samples, length and depth; a user's own texts are not kept with an audit, which is said."""
    audit = store.read(audited)
    assert plan_of(audit, allow_pickle=False) == (SMALL, None)
    named = replace(audit, plan={**audit.plan, "probes": ["code"]})
    assert plan_of(named, allow_pickle=True)[0] == replace(SMALL, probes=("code",), allow_pickle=True)
    own = replace(audit, plan={**audit.plan, "probes": ["letters"]})
    plan, remark = plan_of(own, allow_pickle=False)
    assert plan == SMALL
    assert "those of letters are not kept" in str(remark)
