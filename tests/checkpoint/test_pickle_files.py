"""Pickled weights: only tensors come out, and planted code never runs."""

import pickle
from pathlib import Path

import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.errors import RefusedCheckpoint
from tests.checkpoint import making


class Planted:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.fixture
def folder(copied) -> Path:
    return copied("pickle")


def refusal(folder: Path) -> str:
    with pytest.raises(RefusedCheckpoint) as refused:
        open_checkpoint(folder, allow_pickle=True)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_planted_code_is_refused_by_name_and_not_run(zipped: bool, folder: Path, tmp_path: Path):
    """The pickle would create a file; it does when read without care, and does not here."""
    bait, path = Planted(tmp_path / "ran"), folder / "pytorch_model.bin"
    if zipped:
        torch.save({"weight": bait}, path)
        torch.load(path, weights_only=False)
    else:
        path.write_bytes(pickle.dumps({"weight": bait}, protocol=2))
        pickle.loads(path.read_bytes())
    assert bait.target.exists()
    bait.target.unlink()
    assert "weights_only refuses" in refusal(folder)
    assert not bait.target.exists()


def test_what_is_no_pickle_is_refused(folder: Path):
    """Random bytes under the right name."""
    for content in (b"not weights at all", b"PK\3\4 broken", pickle.dumps({}, protocol=4)):
        (folder / "pytorch_model.bin").write_bytes(content)
        message = refusal(folder)
        assert "'pytorch_model.bin' cannot be read as weights" in message
        assert "weights_only` set to `False`" not in message


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {"state_dict": {"a": torch.zeros(1)}}, {1: torch.zeros(1)}]
)
def test_anything_but_a_flat_dictionary_of_tensors_is_refused(content, folder: Path):
    """A training checkpoint with its optimiser is not a model."""
    torch.save(content, folder / "pytorch_model.bin")
    assert "no flat dictionary of tensors" in refusal(folder)


def test_a_pickle_under_another_name_is_not_guessed_at(folder: Path):
    """Allowed or not, only the names transformers reads count."""
    (folder / "pytorch_model.bin").rename(folder / "model.pt")
    assert "'model.pt'" in refusal(folder)
    with pytest.raises(RefusedCheckpoint, match="--allow-pickle"):
        open_checkpoint(folder)


def test_pickled_shards_open(folder: Path):
    """The index decides which file a tensor comes from; a file that lacks its tensor is refused."""
    state = making.bert().state_dict()
    names = sorted(state)
    first, second = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    torch.save({name: state[name] for name in names[:10]}, folder / first)
    torch.save({name: state[name] for name in names[10:]}, folder / second)
    (folder / "pytorch_model.bin").unlink()
    index = folder / "pytorch_model.bin.index.json"
    index.write_text("{}")
    making.edit_json(index, weight_map={name: first if name in names[:10] else second for name in names})
    opened = open_checkpoint(folder, allow_pickle=True)
    assert set(opened.tensors) == set(names)
    assert {first, second} <= {file.name for file in opened.files}
    making.edit_json(index, weight_map={names[0]: second})
    assert "shards that lack them" in refusal(folder)
