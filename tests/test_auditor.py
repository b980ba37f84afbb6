"""Whole audits of real checkpoints: published, repeatable, offline, independent of the batch size."""

import dataclasses
import json
import shutil
import socket
import subprocess
import sys

import jsonschema
import numpy as np
import pandas as pd
import pytest

from audit import Plan, audit_checkpoint, store
from audit.errors import NothingObserved, RefusedCheckpoint
from tests.test_schema import schema

QUICK = Plan(depth="quick", samples=16, max_length=48)


@pytest.fixture(scope="module")
def audited(bert_tiny, tmp_path_factory):
    """One audit of BERT-tiny, PDF included, and where it stands."""
    folder = tmp_path_factory.mktemp("store")
    audit = audit_checkpoint(bert_tiny, QUICK, store=folder)
    return audit, folder / audit.audit_id


def test_an_audit_is_complete(audited):
    """Every file of the contract is there, listed in the manifest with its true digest."""
    audit, folder = audited
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "audit.json",
        "measurements.parquet",
        "exhibits",
        "report.html",
        "report.pdf",
        "manifest.json",
    }
    assert store.read(folder) == audit
    assert all(layer.observed for layer in audit.coverage.layers)
    assert {skipped.metric for skipped in audit.coverage.skipped} <= {"sink_drain"}  # this model has no sinks
    jsonschema.validate(json.loads((folder / "audit.json").read_text("utf-8")), schema())


def test_the_table_holds_what_the_audit_summarises(audited):
    """Means of the per-sample table are the audit's values."""
    audit, folder = audited
    frame = pd.read_parquet(folder / "measurements.parquet")
    one = frame[(frame.metric == "attention_entropy") & (frame.layer == 1) & (frame["head"] == 0)]
    assert one.value.mean() == pytest.approx(
        audit.measurements["attention_entropy"]["prose"].value[1][0], rel=1e-5
    )


def test_what_blocks_cost_is_measured_at_depth_standard(bert_tiny, tmp_path):
    """Curves in audit.json and as exhibits; another policy takes them over, --no-confirm leaves them out."""
    plan = Plan(depth="standard", samples=16, max_length=32)
    audit = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    assert [curve.kind for curve in audit.drop_curves] == ["blocks", "attention"]
    for curve in audit.drop_curves:
        assert curve.measure == "loss on 15% masked tokens"
        assert [step.n for step in curve.steps] == [32]
    files = {e.id: e.file for e in audit.exhibits if e.kind == "drop curve"}
    written = json.loads((tmp_path / audit.audit_id / files["drop-curve-blocks"]).read_text("utf-8"))
    assert written["steps"][0]["effect"] == audit.drop_curves[0].steps[0].effect
    strict = tmp_path / "other.toml"
    strict.write_text("[thresholds.uniform_head]\nentropy = 0.01\n")
    again = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False, policy=strict)
    assert again.drop_curves == audit.drop_curves
    bare = audit_checkpoint(bert_tiny, dataclasses.replace(plan, confirm=False), store=tmp_path, pdf=False)
    assert bare.drop_curves == ()


def test_published_ranks_are_measured_by_their_own_protocol(bert_tiny, tmp_path):
    """100 sequences of 100 tokens whatever the plan feeds, and no number of the plan's texts."""
    plan = dataclasses.replace(QUICK, metrics=("max_rank_100", "attention_rank"))
    audit = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    (found,) = audit.measurements["max_rank_100"].values()
    assert found.n == 100
    assert found.absent.endswith("; 100 sequences of 100 tokens")
    assert all(1.0 <= value <= 100.0 for value in found.value)
    assert audit.measurements["attention_rank"]["prose"].n == QUICK.samples


def without_provenance(path):
    content = json.loads(path.read_text("utf-8"))
    content.pop("provenance")
    return content


def test_the_same_command_twice_gives_the_same_bytes(audited, bert_tiny, tmp_path):
    """Apart from provenance; the table byte for byte."""
    audit, folder = audited
    again = audit_checkpoint(bert_tiny, QUICK, store=tmp_path, pdf=False)
    assert again.audit_id == audit.audit_id
    ours, theirs = tmp_path / again.audit_id, folder
    assert without_provenance(ours / "audit.json") == without_provenance(theirs / "audit.json")
    assert (ours / "measurements.parquet").read_bytes() == (theirs / "measurements.parquet").read_bytes()


def test_an_audit_that_exists_is_returned(audited, bert_tiny):
    """Not redone: the provenance is the first one's."""
    audit, folder = audited
    assert audit_checkpoint(bert_tiny, QUICK, store=folder.parent) == audit


def test_a_report_that_is_not_there_is_drawn_when_asked_for(audited, bert_tiny, tmp_path):
    """After --no-pdf, or when someone deleted it: what is asked for is there, and nothing is measured again."""
    audit, folder = audited
    shutil.copytree(folder, tmp_path / folder.name)
    copy = tmp_path / folder.name
    (copy / "report.html").unlink()
    assert audit_checkpoint(bert_tiny, QUICK, store=tmp_path) == audit
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()
    assert (copy / "report.pdf").is_file()
    assert "report.pdf" in json.loads((copy / "manifest.json").read_text("utf-8"))
    # drawing it was cut off before the manifest was renewed
    listed = store.listed(copy)
    listed.pop("report.pdf")
    (copy / "manifest.json").write_text(json.dumps(listed))
    audit_checkpoint(bert_tiny, QUICK, store=tmp_path, pdf=True)
    assert "report.pdf" in store.listed(copy)


def test_another_policy_judges_the_same_measurements_again(audited, bert_tiny, tmp_path):
    """The numbers are taken over; only judgement and report are new."""
    audit, folder = audited
    strict = tmp_path / "all-uniform.toml"
    strict.write_text("[thresholds.uniform_head]\nentropy = 0.01\n")
    other = audit_checkpoint(bert_tiny, QUICK, store=folder.parent, policy=strict, pdf=False)
    assert other.measurement_id == audit.measurement_id
    assert other.audit_id != audit.audit_id
    assert other.measurements == audit.measurements
    assert len([f for f in other.findings if f.rule == "uniform_head"]) > len(
        [f for f in audit.findings if f.rule == "uniform_head"]
    )


@pytest.mark.parametrize("model", ["bert_tiny", "minilm"])
def test_the_batch_size_changes_no_finding_and_no_number(model, request, tmp_path):
    """Batch 1 and batch 8, with texts of unequal length: within 1e-4 relative or 1e-6 absolute."""
    texts = tmp_path / "texts.jsonl"
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "the",
        "lazy",
        "dog",
        "while",
        "rain",
        "falls",
        "on",
        "the",
        "old",
        "town",
        "and",
        "nobody",
        "minds",
    ]
    rng = np.random.default_rng(0)
    with texts.open("w") as file:
        for i in range(16):
            file.write(json.dumps({"text": " ".join(rng.choice(words, size=20 + 3 * i))}) + "\n")
    plan = dict(depth="quick", probes=(str(texts),), samples=16, max_length=64)
    one, eight = (
        audit_checkpoint(
            request.getfixturevalue(model),
            Plan(**plan, batch_size=size),
            store=tmp_path / str(size),
            pdf=False,
        )
        for size in (1, 8)
    )
    assert [f.id for f in one.findings] == [f.id for f in eight.findings]
    frames = [
        pd.read_parquet(tmp_path / size / audit.audit_id / "measurements.parquet")
        .set_index(["probe", "sample", "layer", "head", "metric"])
        .value.sort_index()
        for size, audit in (("1", one), ("8", eight))
    ]
    assert frames[0].index.equals(frames[1].index)
    np.testing.assert_allclose(frames[0], frames[1], rtol=1e-4, atol=1e-6)


BLOCKED = """
import socket, sys
def refuse(*_, **__):
    raise OSError("the network was touched")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
{proof}
from audit import Plan, audit_checkpoint
audit_checkpoint(sys.argv[1], Plan(depth="quick", samples=16, max_length=48), store=sys.argv[2], pdf=True)
"""


def test_without_a_network_the_result_is_the_same(audited, bert_tiny, tmp_path):
    """Every way to a socket raises; the audit neither notices nor differs."""
    _, folder = audited
    code = BLOCKED.format(proof="")
    subprocess.run([sys.executable, "-P", "-c", code, bert_tiny, tmp_path], check=True, capture_output=True)
    (found,) = store.published(tmp_path)
    assert without_provenance(found / "audit.json") == without_provenance(folder / "audit.json")


def test_the_block_blocks(bert_tiny, tmp_path):
    """The same process with one connection attempt dies of it."""
    code = BLOCKED.format(proof="import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, bert_tiny, tmp_path], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "the network was touched" in done.stderr
    assert socket.socket.connect.__name__ == "connect"


def test_a_refused_checkpoint_leaves_no_store(tmp_path):
    """Refusal comes before anything is written."""
    with pytest.raises(RefusedCheckpoint):
        audit_checkpoint(tmp_path / "nothing", QUICK, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_model_without_observable_attention_leaves_no_store(bert_tiny, tmp_path, monkeypatch):
    """Nothing observed is an error, never an empty report."""
    monkeypatch.setattr("audit.pieces.observe", lambda *_, **__: type("Pass", (), {"seen": set()})())
    with pytest.raises(NothingObserved):
        audit_checkpoint(bert_tiny, QUICK, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()
