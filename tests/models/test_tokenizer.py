"""A tokenizer is loaded, or its absence has a reason."""

import shutil
from pathlib import Path

import pytest

from audit.checkpoint.opening import open_checkpoint
from audit.models.loading import LoadedModel, load_model
from tests.checkpoint import making


@pytest.fixture
def folder(tmp_path: Path, minilm: Path) -> Path:
    """A small model under a tokenizer far too large for it."""
    made = making.saved(making.bert(), tmp_path / "x")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(minilm / name, made / name)
    return made


def loaded(folder: Path) -> LoadedModel:
    return load_model(open_checkpoint(folder))


def test_a_vocabulary_beyond_the_embedding_is_remarked(folder: Path):
    """Ids beyond the embedding cannot be fed."""
    found = loaded(folder)
    assert found.tokenizer is not None
    assert any("has 30522 tokens, the model embeds 64" in remark for remark in found.subject.remarks)


def test_no_tokenizer_is_remarked(tmp_path: Path):
    """Random tokens can be fed all the same."""
    found = loaded(making.saved(making.bert(), tmp_path / "x"))
    assert found.tokenizer is None
    assert found.subject.remarks == (
        "no tokenizer in the checkpoint: only probes of random tokens can be fed",
    )


def test_a_broken_tokenizer_is_remarked(folder: Path):
    """The model is sound; why the tokenizer is not comes from the library, in one line."""
    (folder / "tokenizer.json").write_text("{")
    (folder / "vocab.txt").unlink()
    found = loaded(folder)
    assert found.tokenizer is None
    (remark,) = found.subject.remarks
    assert remark.startswith("the tokenizer cannot be loaded (")
    assert "\n" not in remark


def test_files_beside_a_gguf_are_not_mixed_in(folder: Path, tmp_path: Path, smollm2_gguf: Path):
    """A tokenizer in the same folder belongs to another model."""
    shutil.copy(smollm2_gguf, folder / "model.gguf")
    found = loaded(folder / "model.gguf")
    assert found.tokenizer.convert_tokens_to_ids("[CLS]") in {None, found.tokenizer.unk_token_id}
    assert len(found.tokenizer) == 49152


def test_code_for_a_tokenizer_is_not_run(folder: Path):
    """A tokenizer that exists only as remote code is none."""
    making.edit_json(
        folder / "tokenizer_config.json",
        tokenizer_class="Mine",
        auto_map={"AutoTokenizer": ["mine.Mine", None]},
    )
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    found = loaded(folder)
    assert type(found.tokenizer).__module__.startswith("transformers.") or found.tokenizer is None
