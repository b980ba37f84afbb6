"""Tokenizers that the probe tests share, and a network that is cut."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from audit.definitions import Document, Probe


@pytest.fixture(scope="session")
def encoder_tokenizer(minilm: Path) -> PreTrainedTokenizerBase:
    """MiniLM's: lower-cased word pieces between [CLS] and [SEP], no chat template."""
    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="session")
def chat_tokenizer(smollm2_gguf: Path) -> PreTrainedTokenizerBase:
    """SmolLM2's out of its GGUF file: byte pairs, nothing around a text, a chat template."""
    return AutoTokenizer.from_pretrained(smollm2_gguf.parent, gguf_file=smollm2_gguf.name)


@pytest.fixture
def word_tokenizer() -> PreTrainedTokenizerFast:
    """One id per word of one, two, ... and per letter of the alphabet; unknown words are id 0."""
    words = [
        "[UNK]",
        "<s>",
        "</s>",
        *(f"w{number}" for number in range(200)),
        "user",
        "quixotry",
        "zephyrean",
    ]
    backend = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


@pytest.fixture
def words_probe() -> Callable[..., Probe]:
    """Makes a probe of the word tokenizer's words: `make(40, 70)` has documents of 40 and 70 words."""

    def make(*lengths: int, **fields: Any) -> Probe:
        texts = [
            " ".join(f"w{(7 * doc + word) % 200}" for word in range(size)) for doc, size in enumerate(lengths)
        ]
        documents = tuple(Document(id=f"d{doc}", text=text) for doc, text in enumerate(texts))
        return Probe(name="words", title="", summary="", licence="", documents=lambda: documents, **fields)

    return make


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is looked up and no socket connects in this process."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the network was touched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
