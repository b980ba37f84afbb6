"""What is known of a checkpoint from its files alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audit.results.subject import FileDigest
from audit.results.training import Training

Form = Literal["safetensors", "pickle", "gguf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """One stored tensor as its file describes it; the data is not read."""

    shape: tuple[int, ...]  # in torch's order, also where the file writes it the other way round
    dtype: str  # the format's own word: "F32", "BF16", "Q4_1"
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter that is to be merged into the checkpoint."""

    directory: Path
    config: Mapping[str, Any]  # adapter_config.json as read
    files: tuple[FileDigest, ...]
    digest: str  # of the files, whatever the path
    tensors: Mapping[str, TensorHeader]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that passed every check that needs no weights."""

    directory: Path  # where configuration and tokenizer stand; the folder around a GGUF file
    form: Form
    gguf_file: str | None  # its name inside `directory`
    config: Mapping[str, Any]  # config.json as read, or what transformers makes of a GGUF's metadata
    model_type: str
    files: tuple[FileDigest, ...]  # every file that is part of the checkpoint, sorted by name
    digest: str  # of names and contents, whatever the path
    adapter: Adapter | None
    has_tokenizer: bool
    remarks: tuple[str, ...]
    tensors: Mapping[str, TensorHeader]
    training: Training | None = None  # its record, if one stands with it
