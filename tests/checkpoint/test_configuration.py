"""Configurations: what chooses code is refused at any depth, and no family's own configuration is."""

import json
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from audit.checkpoint.configuration import checked
from audit.checkpoint.forbidden import forbidden_keys
from audit.checkpoint.json_files import read_json
from audit.errors import RefusedCheckpoint


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": "me/kernel"},
        {"a": {"b": [{"_experts_implementation": "me/kernel"}]}},
        {"transformers_weights": "../other.safetensors"},
        {"trust_remote_code": True},
        {"act_fn": "os.system"},
        {"model_class": "me/repository--module.Class"},
        {"get_text_config": {}},
        {"__class__": "x"},
        {"attribute_map": {"hidden_size": "to_dict"}},
    ],
)
def test_a_key_that_chooses_code_is_found(config):
    """Switches of the loader, methods overwritten, importable names under a word for code."""
    assert len(list(forbidden_keys(config))) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": None, "trust_remote_code": False, "use_kernels": False},
        {"activation_function": "gelu_new", "loss_function": "cross_entropy"},
        {"tokenizer_class": "BertTokenizerFast", "_name_or_path": "me/model", "torch_dtype": "torch.float32"},
        {"id2label": {"0": "e.g. this: a/b"}, "num_labels": 2, "output_attentions": True},
        {"_attn_implementation_autoset": True, "auto_map": {"AutoModel": "modeling.Mine"}},
    ],
)
def test_a_key_that_describes_is_let_through(config):
    """Off, null, plain names and what old versions wrote are harmless."""
    assert list(forbidden_keys(config)) == []


def test_no_language_model_type_is_refused_for_its_own_configuration():
    """The default configuration of every causal, masked and seq2seq type passes, but for what has no softmax."""
    names = {
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    refused = {}
    for name in sorted(names - {"encoder-decoder", "gemma4_assistant"}):  # neither has a default
        config = json.loads(CONFIG_MAPPING[name]().to_json_string(use_diff=False))
        try:
            checked(config, Path())
        except RefusedCheckpoint as error:
            refused[name] = str(error)
    assert set(refused) == {"falcon_mamba", "fnet", "mamba", "mamba2", "rwkv", "xlstm", "yoso"}
    assert all("no softmax attention" in message for message in refused.values())


def test_special_floats_are_read_back(tmp_path):
    """Transformers writes infinities as tagged objects."""
    path = tmp_path / "config.json"
    path.write_text('{"a": {"__float__": "-Infinity"}, "b": {"__float__": ["x"]}, "c": {"__float__": "os"}}')
    assert read_json(path, "config.json") == {
        "a": float("-inf"),
        "b": {"__float__": ["x"]},
        "c": {"__float__": "os"},
    }


def test_an_enormous_file_is_not_parsed(tmp_path):
    """A sparse file costs nothing to make."""
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(RefusedCheckpoint, match="larger than"):
        read_json(path, "config.json")


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_quantisation_is_found_in_a_part_of_the_configuration(key):
    """A composite model may quantise its text model only; a method without a name is still one."""
    with pytest.raises(RefusedCheckpoint, match="unnamed method"):
        checked({"model_type": "llava", "text_config": {key: "something"}}, Path())
