"""Tiles of a family's own code show the same model as all of it at once, in memory that grows with the tokens."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.models.gemma2 import modeling_gemma2

import audit.patterns
import audit.spectra
from audit.bands import Runs
from audit.models import tiles
from audit.models.attention import Edit
from audit.models.coverage import survey
from audit.models.observing import observe
from tests.architectures import tiny_model
from tests.models.likeness import assert_like_eager
from tests.models.watching import Kept, plain, random_batch, result, watch

LENGTH = 100
SMALL = 4000  # entries of a tile: some rows of some keys


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that a short sample does not fit into."""
    for module in (audit.patterns, audit.spectra, tiles):
        monkeypatch.setattr(module, "TILE", SMALL)


def sharp(model_type: str) -> PreTrainedModel:
    """A random model whose heads prefer some keys: scores as large as those of trained ones."""
    model = tiny_model(model_type)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(12)
            if name.endswith("sinks"):
                parameter.copy_(torch.linspace(-1, 3, parameter.numel()).view_as(parameter))
    return model


@pytest.mark.usefixtures("small_tiles")
def test_a_sink_that_takes_all_of_a_row_leaves_nothing_and_not_no_number() -> None:
    """What the keys keep is below the least number of float32; the rows of no other head know of it."""
    model = sharp("gpt_oss")
    layers = survey(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("sinks"):
                parameter.fill_(110.0)
    kept = Kept()

    observe(model, random_batch(model, length=100, padded=(0, 0)), kept, layers=layers)

    assert bool(kept.attention[0].finite.all())
    assert bool(kept.attention[0].spectrum.values.isfinite().all())


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("model_type", "padded"),
    [
        ("gemma2", (0, 0)),
        ("gemma2", (9, 4)),
        ("gpt_oss", (9, 0)),
        ("gpt_oss", (0, 9)),
        ("mimo_v2_flash", (9, 4)),
        ("granite_swa", (9, 4)),
    ],
)
def test_every_number_is_that_of_the_eager_pass(model_type: str, padded: tuple[int, int]) -> None:
    """Soft caps, sink columns, shifted scores, scaled head outputs; windows and padding on either side."""
    model = sharp(model_type)

    assert_like_eager(model, random_batch(model, length=LENGTH, padded=padded), path="tiles")


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("model_type", ["gemma2", "gpt_oss", "granite_swa", "deepseek_v3"])
def test_the_model_goes_on_with_what_its_own_code_returns(model_type: str) -> None:
    """Logits are those of a pass that nobody watches."""
    model = sharp(model_type)
    batch = random_batch(model, length=LENGTH)
    layers, _, passed = watch(model, batch)

    assert {layer.path for layer in layers} == {"tiles"}
    torch.testing.assert_close(
        result(passed.output), result(plain(model, batch)), rtol=1e-5, atol=1e-5, equal_nan=True
    )


@pytest.mark.usefixtures("small_tiles")
def test_masks_with_gaps_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two numbers per row do not say what it sees, a table does."""
    monkeypatch.setattr(Runs, "of", lambda _seen: None)
    model = sharp("gpt_oss")

    assert_like_eager(model, random_batch(model, length=LENGTH), path="tiles")


@pytest.mark.usefixtures("small_tiles")
def test_no_layer_is_whole_in_memory_while_it_is_only_summed() -> None:
    """The pattern is made again from tiles; a receiver that wants all of it may still have it."""
    model = sharp("gemma2")
    _, kept, _ = watch(model, random_batch(model, length=LENGTH))
    observation = kept.attention[0]

    assert isinstance(observation.source, tiles.Rescored)
    assert observation.kept.total.shape == observation.shape[:3]
    assert "whole" not in vars(observation)
    assert "every" not in vars(observation.mask)
    assert observation.pattern.shape == observation.shape


def test_what_fits_into_one_tile_is_the_family_s_own_pass() -> None:
    """Making it again would cost more than keeping it."""
    model = tiny_model("gemma2")
    _, kept, _ = watch(model, random_batch(model))

    assert not isinstance(kept.attention[0].source, tiles.Rescored)


def test_a_coarse_precision_has_tiles_too() -> None:
    """The survey allows for the rounding of the numbers it compares."""
    assert {layer.path for layer in survey(tiny_model("gemma2").bfloat16())} == {"tiles"}


@pytest.mark.parametrize("spoilt", ["queries", "keys"])
def test_a_family_whose_scores_depend_on_the_tile_stays_eager(
    spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The survey compares tiles of rows and of keys with the whole."""
    true: Callable[..., Any] = modeling_gemma2.eager_attention_forward

    def scaled(module: Any, query: Any, key: Any, *args: Any, **more: Any) -> Any:
        length = query.shape[2] if spoilt == "queries" else key.shape[2]
        return true(module, query * length, key, *args, **more)

    monkeypatch.setattr(modeling_gemma2, "eager_attention_forward", scaled)

    assert {layer.path for layer in survey(tiny_model("gemma2"))} == {"eager"}


@pytest.mark.usefixtures("small_tiles")
def test_an_edited_pass_is_eager_and_transformers_is_left_as_it_was() -> None:
    """What is edited must stay as it was to the last bit elsewhere."""
    model = tiny_model("gemma2")
    batch, layers, kept = random_batch(model, length=LENGTH), survey(model), Kept()
    observe(model, batch, kept, layers=layers, edit=lambda _observation: Edit())

    assert not isinstance(kept.attention[0].source, tiles.Rescored)
    assert tiles.NAME not in AttentionInterface()
    assert tiles.NAME not in AttentionMaskInterface()


@pytest.mark.slow
def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    """Peaks of a soft-capped model with and without a window, each in a process of its own."""
    short, long = _peak(512, "tiles"), _peak(2048, "tiles")

    assert math.log(long / short, 4) <= 1.1
    assert 8 * long < _peak(2048, "eager")


def _peak(length: int, path: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.tiles_memory", str(length), path],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[0])
