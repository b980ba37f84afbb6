"""Every head has a button with its picture and its numbers, on the screen, for keyboards too."""

import base64
import io
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from PIL import Image

from audit.report.picker import picker
from audit.results import Exhibit
from audit.results.thumbnails import UNSEEN, Sheet, Thumbnails
from tests.report.example import example_audit
from tests.report.large import large_audit


def with_thumbnails(audit, folder, content):
    data = msgspec.json.encode(content)
    (folder / "exhibits").mkdir(parents=True, exist_ok=True)
    (folder / "exhibits" / "thumbnails.json").write_bytes(data)
    made = Exhibit(
        id="thumbnails",
        kind="thumbnails",
        finding=None,
        file="exhibits/thumbnails.json",
        sha256=sha256(data).hexdigest(),
    )
    return replace(audit, exhibits=(made,))


def small(shades=bytes([0, 127, 254, UNSEEN]) * 2):
    return Thumbnails(
        probe="prose", tokens=2, sheets=(Sheet(layer=0, heads=2, rows=2, columns=2, shades=shades),)
    )


def test_a_head_shows_what_was_kept_of_it(tmp_path):
    """One pixel per shade, the brighter the more; what is masked is clear."""
    found = picker(with_thumbnails(example_audit(layers=1, heads=2), tmp_path, small()), tmp_path)
    ((_, (first, second)),) = found.layers
    image = Image.open(io.BytesIO(base64.b64decode(first.picture.split(",")[1]))).convert("RGBA")
    (dark, some, bright, none) = (image.getpixel((x, y)) for y in (0, 1) for x in (0, 1))
    assert image.size == (2, 2)
    assert sum(dark[:3]) < sum(some[:3]) < sum(bright[:3])
    assert [pixel[3] for pixel in (dark, some, bright, none)] == [255, 255, 255, 0]
    assert second.picture == first.picture


def test_a_head_has_all_of_its_numbers(tmp_path):
    """As many as there are names, in their order, and its findings are counted."""
    audit = example_audit()
    found = picker(audit, tmp_path)
    names = found.names.split("|")
    flagged, button = found.layers[3][1][7], found.layers[1][1][2]
    assert flagged.label == "Layer 3, head 7, 1 finding"
    assert button.anchor == "head-1-2"
    values = dict(zip(names, button.values.split("|"), strict=True))
    entropy = audit.measurements["attention_entropy"]["prose"].value[1][2]
    assert float(values["Attention entropy, prose"]) == pytest.approx(entropy, rel=1e-2)


def test_an_audit_without_pictures_has_buttons(tmp_path):
    """Those of before had none; a changed file is not shown and said so."""
    assert "kept no pictures" in picker(example_audit(layers=2, heads=2), tmp_path).note
    audit = with_thumbnails(example_audit(layers=1, heads=2), tmp_path, small())
    (tmp_path / "exhibits" / "thumbnails.json").write_text("{}")
    found = picker(audit, tmp_path)
    assert "changed after the audit" in found.note
    assert [button.picture for button in found.layers[0][1]] == [None, None]


@pytest.mark.parametrize("shades", [b"", b"\x00" * 7])
def test_what_does_not_fit_its_sizes_is_refused(shades):
    """A sheet says how many heads it has."""
    with pytest.raises(ValueError, match="do not fill"):
        small(shades)


def test_too_many_heads_are_not_shown_one_by_one(tmp_path):
    """126 layers of 128 heads would fill a page with sixteen thousand buttons."""
    found = picker(large_audit(tmp_path, layers=126, heads=128), tmp_path)
    assert found.layers == ()
    assert "16,128 heads" in found.note
