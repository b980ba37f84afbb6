"""Nothing in the observed path is made up: a missing tensor is refused, or named where nothing observed needs it."""

from pathlib import Path

import pytest
from transformers import BertForSequenceClassification, BertModel, LlamaForSequenceClassification, LlamaModel

from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from audit.models.loading import LoadedModel, load_model
from tests.checkpoint import making

WEIGHTS = "model.safetensors"
HEAD = (
    "cls.predictions.bias",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.dense.weight",
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return making.saved(making.bert(), tmp_path / "bert")


def loaded(folder: Path) -> LoadedModel:
    return load_model(open_checkpoint(folder))


@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.1.attention.self.query.weight",
        "bert.embeddings.position_embeddings.weight",
        "bert.encoder.layer.0.output.LayerNorm.bias",
    ],
)
def test_a_missing_tensor_is_refused_by_name(name: str, bert: Path):
    """It would have to be made up."""
    making.drop_tensor(bert / WEIGHTS, name)
    with pytest.raises(RefusedCheckpoint) as refusal:
        loaded(bert)
    assert f"1 tensors that BertForMaskedLM needs are missing from the files: {name!r}" in str(refusal.value)


def test_many_missing_tensors_are_counted(bert: Path):
    """Three are named."""
    for part in ("query", "key", "value"):
        for kind in ("weight", "bias"):
            making.drop_tensor(bert / WEIGHTS, f"bert.encoder.layer.0.attention.self.{part}.{kind}")
    with pytest.raises(RefusedCheckpoint, match=r"6 tensors .* and 3 more; they would have to be made up"):
        loaded(bert)


def test_part_of_a_head_missing_is_refused(bert: Path):
    """A damaged head is no absent one."""
    making.drop_tensor(bert / WEIGHTS, HEAD[-1])
    with pytest.raises(RefusedCheckpoint, match=HEAD[-1]):
        loaded(bert)


def test_a_masked_model_without_its_head_is_audited_as_an_encoder(bert: Path):
    """The base is whole; that there is no loss is remarked."""
    for name in HEAD:
        making.drop_tensor(bert / WEIGHTS, name)
    found = loaded(bert)
    assert (found.task, found.subject.architecture) == ("encoder", "BertModel")
    assert any("no language-model head in the files" in remark for remark in found.subject.remarks)


def test_a_causal_model_without_its_head_is_refused(tmp_path: Path):
    """Its configuration promises the head, and does not tie it."""
    folder = making.saved(making.llama(), tmp_path / "x")
    making.drop_tensor(folder / WEIGHTS, "lm_head.weight")
    with pytest.raises(RefusedCheckpoint, match=r"'lm_head\.weight'"):
        loaded(folder)


def test_a_missing_pooler_is_remarked(tmp_path: Path):
    """It follows the last layer; no attention layer sees it."""
    folder = making.saved(BertModel(making.bert().config), tmp_path / "x")
    for name in ("pooler.dense.weight", "pooler.dense.bias"):
        making.drop_tensor(folder / WEIGHTS, name)
    found = loaded(folder)
    assert found.subject.remarks[0] == (
        "'pooler.dense.bias', 'pooler.dense.weight' missing from the files: outside the observed path, and not measured"
    )


@pytest.mark.parametrize(
    ("model_class", "make", "base"),
    [
        (BertForSequenceClassification, making.bert, "BertModel"),
        (LlamaForSequenceClassification, making.llama, "LlamaModel"),
    ],
)
def test_a_classifier_is_audited_as_its_base(model_class, make, base: str, tmp_path: Path):
    """Its own head is left over and said to be."""
    config = make().config
    config.pad_token_id = 0
    found = loaded(making.saved(model_class(config), tmp_path / "x"))
    assert (found.task, found.subject.architecture) == ("encoder", base)
    assert any("not used by" in remark for remark in found.subject.remarks)


def test_a_base_decoder_loads_as_it_is(tmp_path: Path):
    """Untied and declared without a head, it has none."""
    found = loaded(making.saved(LlamaModel(making.llama().config), tmp_path / "x"))
    assert (found.task, found.subject.architecture) == ("encoder", "LlamaModel")
    assert not [remark for remark in found.subject.remarks if "tokenizer" not in remark]


def test_tensors_of_another_shape_are_refused_with_both_shapes(bert: Path):
    """Configuration and weights do not belong together."""
    making.edit_json(bert / "config.json", intermediate_size=48)
    with pytest.raises(RefusedCheckpoint) as refusal:
        loaded(bert)
    assert "'bert.encoder.layer.0.intermediate.dense.bias' has shape [64]" in str(refusal.value)
    assert "needs [48], and 5 more differ" in str(refusal.value)


def test_leftover_tensors_are_remarked(bert: Path):
    """One layer fewer in the configuration than in the files."""
    making.edit_json(bert / "config.json", num_hidden_layers=1)
    found = loaded(bert)
    assert found.subject.blocks == 1
    assert any(
        "16 tensors of the files not used by BertForMaskedLM" in remark for remark in found.subject.remarks
    )
