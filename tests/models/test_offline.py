"""The hub is never asked, whatever the environment says."""

import socket
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import load_model
from audit.models.offline import offline
from tests.checkpoint import making


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt to leave the machine; none succeeds. The user's environment allows the hub."""
    made: list[object] = []

    def blocked(*arguments: object, **_: object) -> None:
        made.append(arguments)
        raise OSError("the network is blocked")

    monkeypatch.setattr(socket.socket, "connect", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return made


def test_the_block_blocks_and_notices(attempts: list[object]):
    """A look-up outside of `offline` does try to leave the machine: the tests below could fail."""
    with pytest.raises(Exception, match="blocked"):
        huggingface_hub.HfApi().model_info("me/model")
    assert attempts


def test_a_lookup_inside_never_reaches_the_network(attempts: list[object]):
    """The library refuses by itself; outside, what the user had set stands again."""
    with offline(), pytest.raises(OfflineModeIsEnabled):
        huggingface_hub.HfApi().model_info("me/model")
    assert attempts == []
    assert constants.HF_HUB_OFFLINE is False


def test_datasets_is_switched_off_too(monkeypatch: pytest.MonkeyPatch):
    """It keeps a copy of the switch from when it was imported."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with offline():
        assert datasets.config.HF_HUB_OFFLINE is True
    assert datasets.config.HF_HUB_OFFLINE is False


def test_loading_asks_nobody(attempts: list[object], minilm: Path, tmp_path: Path):
    """A real encoder with its tokenizer, one that names a hub repository, and a GGUF."""
    load_model(open_checkpoint(minilm))
    folder = making.saved(making.llama(), tmp_path / "x")
    making.edit_json(folder / "config.json", _name_or_path="mistralai/Mistral-7B-v0.1")
    load_model(open_checkpoint(folder))
    load_model(open_checkpoint(making.write_gguf(making.llama(), tmp_path / "x.gguf")))
    assert attempts == []
