"""Loads a checkpoint's tokenizer, or says why there is none."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from audit.checkpoint.records import Checkpoint
from audit.checkpoint.wording import first_line


class Found(NamedTuple):
    """A tokenizer, or None and the reason among the remarks."""

    tokenizer: Any
    remarks: tuple[str, ...]


def load_tokenizer(checkpoint: Checkpoint, config: Any, *, rows: int) -> Found:
    """The tokenizer of `checkpoint`; None and a remark where it has none or it cannot be loaded.

    `rows` is the number of tokens the model embeds: a larger vocabulary is remarked upon.
    """
    if not checkpoint.has_tokenizer:
        return Found(None, ("no tokenizer in the checkpoint: only probes of random tokens can be fed",))
    try:
        tokenizer = _from_gguf(checkpoint) if checkpoint.form == "gguf" else _from_folder(checkpoint, config)
        size = len(tokenizer)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - tokenizers fail in as many ways as there are files
        remark = (
            f"the tokenizer cannot be loaded ({first_line(error)}): only probes of random tokens can be fed"
        )
        return Found(None, (remark,))
    too_many = f"the tokenizer has {size} tokens, the model embeds {rows}: the others cannot be fed"
    return Found(tokenizer, (too_many,) if size > rows else ())


def _from_folder(checkpoint: Checkpoint, config: Any) -> Any:
    return AutoTokenizer.from_pretrained(
        checkpoint.directory, config=config, local_files_only=True, trust_remote_code=False
    )


def _from_gguf(checkpoint: Checkpoint) -> Any:
    """The tokenizer inside the GGUF, read from a folder of its own: files beside it belong to other models.

    Naming the class spares a second reading of the whole header, and is what AutoTokenizer would choose.
    """
    named = TOKENIZER_MAPPING_NAMES.get(checkpoint.model_type)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "model.gguf"
        link.symlink_to((checkpoint.directory / str(checkpoint.gguf_file)).resolve())
        options = {"gguf_file": link.name, "local_files_only": True}
        if named is None:
            return PreTrainedTokenizerFast.from_pretrained(folder, **options)
        return AutoTokenizer.from_pretrained(
            folder, tokenizer_type=checkpoint.model_type, trust_remote_code=False, **options
        )
