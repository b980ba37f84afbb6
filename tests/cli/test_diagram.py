"""`attnaudit diagram`: of a configuration in no time, of a checkpoint as it was measured, of an audit as it is."""

import json
import subprocess
import sys

import pytest

from audit import Plan, audit_checkpoint
from tests.theory.configurations import BERT, GPT2


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GPT2 | {"n_layer": 2}))
    return path


def test_a_configuration_is_drawn_in_every_form(attnaudit, config, tmp_path):
    """Words on the terminal, a page, two pictures and the numbers in files."""
    outputs = [tmp_path / f"d.{form}" for form in ("html", "svg", "png", "json")]
    ran = attnaudit("diagram", config, *(word for path in outputs for word in ("-o", path)))
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Trainable at initialisation")
    assert "Would not move it" in ran.out
    page, drawing, picture, numbers = (path.read_bytes() for path in outputs)
    assert b"Trainability of config.json" in page
    assert b"Would not move it" in page
    assert drawing.startswith(b"<svg")
    assert picture.startswith(b"\x89PNG")
    found = json.loads(numbers)
    assert found["here"]["point"]["depth"] == 2
    assert [plane["axis"] for plane in found["planes"]] == ["depth", "skip"]
    assert found["measured"] == []


def test_nothing_heavy_is_imported_for_a_configuration(config):
    """Neither torch nor transformers: the diagram of a config.json is there at once."""
    code = (
        "import sys; from audit.cli.main import Verbs, VERBS, execute; "
        "assert execute(Verbs(VERBS), sys.argv[1:]) == 0; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code, "diagram", str(config), "--json"], check=True)


def test_json_is_all_that_is_printed(attnaudit, config, tmp_path):
    """And no file is written that was not asked for; T and the measured likeness can be given."""
    ran = attnaudit("diagram", config, "--json", "--tokens", 64, "--similarity", 0.25)
    point = json.loads(ran.out)["here"]
    assert point["point"]["tokens"] == 64
    assert point["profile"]["similarity"][0] == 0.25
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_checkpoint_is_marked_as_measured(attnaudit, bert_tiny, tmp_path):
    """Each layer at its sharpness and with its token similarity; nothing is kept of the pass."""
    ran = attnaudit("diagram", bert_tiny, "-o", tmp_path / "d.json")
    assert ran.code == 0, ran.err
    measured = json.loads((tmp_path / "d.json").read_text())["measured"]
    assert [layer["block"] for layer in measured] == [1, 2]
    assert all(layer["beta"] > 0.05 for layer in measured)  # far sharper than drawn
    alone = attnaudit("diagram", bert_tiny, "--config-only", "--json")
    assert json.loads(alone.out)["measured"] == []


def test_an_audit_is_drawn_as_it_is(attnaudit, bert_tiny, tmp_path):
    """The same diagram as of the checkpoint, without opening it."""
    plan = Plan(depth="quick", samples=8, metrics=("score_spread",), confirm=False)
    audit = audit_checkpoint(bert_tiny, plan, store=tmp_path, pdf=False)
    assert audit.trainability is not None
    assert audit.trainability.placement == "post"
    ran = attnaudit("diagram", tmp_path / audit.audit_id, "--json")
    found = json.loads(ran.out)
    assert found["here"]["words"] == list(audit.trainability.words)
    assert len(found["measured"]) == 2
    assert b"Trainability before training" in (tmp_path / audit.audit_id / "report.html").read_bytes()
    refused = attnaudit("diagram", tmp_path / audit.audit_id, "--tokens", 64)
    assert (refused.code, "has no config.json" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BERT | {"hidden_size": -1}, "hidden_size is -1"),
        ({"model_type": "bert"}, "no 'hidden_size'"),
        ({"model_type": "mamba", "hidden_size": 64}, "no softmax attention"),
        (BERT | {"num_hidden_layers": 10**6}, "depth is 1000000"),
        ([], "not an object"),
    ],
)
def test_what_cannot_be_used_is_one_line(attnaudit, tmp_path, content, message):
    """Exit code 2, the field and what stands there."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    ran = attnaudit("diagram", path)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_unusable_options_are_one_line(attnaudit, config, tmp_path):
    """A form that is not known, a length that is none, a path that is not there."""
    assert "end it in .html" in attnaudit("diagram", config, "-o", tmp_path / "d.gif").err
    assert "tokens is 1" in attnaudit("diagram", config, "--tokens", 1, "--json").err
    assert "no checkpoint at" in attnaudit("diagram", tmp_path / "nowhere").err
