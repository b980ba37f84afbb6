"""What an audit keeps to be looked at is what the model does."""

import msgspec
import numpy as np
import torch

from audit import Plan, catalog, exhibits
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.results.thumbnails import UNSEEN, Thumbnails


def drawn(checkpoint, folder):
    loaded = load_model(open_checkpoint(checkpoint))
    feed = cut(catalog.probes()["prose"], loaded, Plan(samples=4))
    found = exhibits.draw_patterns((), loaded, [feed], survey(loaded.model), folder, show_text=False)
    return loaded, feed.batches[0].only(0, exhibits.LARGEST), found


def test_thumbnails_are_the_patterns_made_small(bert_tiny, tmp_path):
    """Every head against transformers' own weights, two tokens a pixel."""
    folder = tmp_path / "exhibits"
    folder.mkdir()
    loaded, sample, (exhibit,) = drawn(bert_tiny, folder)
    found = msgspec.json.decode((tmp_path / exhibit.file).read_bytes(), type=Thumbnails)

    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        weights = loaded.model(sample.input_ids, output_attentions=True).attentions
    assert [sheet.layer for sheet in found.sheets] == [0, 1]
    assert found.tokens == 64
    for sheet, layer in zip(found.sheets, weights, strict=True):
        small = layer[0].reshape(-1, 32, 2, 32, 2).mean((2, 4)).sqrt().numpy() * 254
        shades = np.frombuffer(sheet.shades, np.uint8).reshape(sheet.heads, sheet.rows, sheet.columns)
        assert np.abs(shades - small).max() <= 0.51


def test_what_a_mask_hides_is_not_shown_as_dark(smollm2_gguf, tmp_path):
    """A causal head has no upper half."""
    _, _, (exhibit,) = drawn(smollm2_gguf, tmp_path)
    found = msgspec.json.decode((tmp_path / exhibit.file.split("/")[-1]).read_bytes(), type=Thumbnails)
    first = np.frombuffer(found.sheets[0].of(0), np.uint8).reshape(32, 32)
    assert ((first == UNSEEN) == np.triu(np.ones((32, 32), bool), 1)).all()


def test_what_users_call_things_is_no_path(tmp_path):
    """A finding about an axis of that name has a file of its own in the folder."""
    names = ["race/ethnicity", "../../evil", "race-ethnicity", "a" * 300]
    files = [exhibits._file(tmp_path, name, {}, kind="pattern").file for name in names]
    assert len(set(files)) == 4
    assert all((tmp_path.parent / file).is_file() and len(file) < 200 for file in files)
    assert files[2] == f"{tmp_path.name}/race-ethnicity.json"


def test_too_many_heads_have_none(bert_tiny, tmp_path, monkeypatch):
    """A page would weigh more than it may."""
    monkeypatch.setattr(exhibits, "MOST_HEADS", 3)
    assert drawn(bert_tiny, tmp_path)[-1] == ()
