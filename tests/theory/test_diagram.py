"""The diagram: its cells, its point, its words, and the changes it proposes."""

import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from audit.results.trainability import Change, Diagram
from audit.theory.changes import changes
from audit.theory.configuration import Reading, from_config
from audit.theory.diagram import diagram
from audit.theory.knobs import by_depth, outcome
from audit.theory.rows import EveryKey, rows_of
from audit.theory.states import setting
from audit.theory.table import finite_length
from tests.theory.configurations import BERT, GPT2, LLAMA
from tests.theory.stacks import plain, read, unit


@pytest.fixture(scope="module")
def bert() -> Diagram:
    """BERT-base as it is initialised."""
    return diagram(from_config(BERT))


def _found(these: tuple[Change, ...], knob: str) -> list[Change]:
    return [change for change in these if change.knob == knob]


def _changes(reading: Reading) -> tuple[Change, ...]:
    a = reading.architecture
    return changes(a, reading.initialisation, rows_of(a))


def test_bert_is_trainable_and_saved_by_its_skip(bert: Diagram):
    """Far below freezing, kept apart by the residual alone; the published map agrees there."""
    assert bert.here.point.phase == bert.here.point.phase_infinite == "trainable"
    assert bert.here.point.phase_without_skip == "rank collapse"
    assert bert.here.point.beta == pytest.approx(0.12, abs=0.005)
    assert bert.here.point.beta_critical == pytest.approx(1.73, abs=0.01)
    assert bert.here.point.entropy_share > 0.99
    assert bert.here.point.kappa < 0.1
    assert bert.here.point.similarity == pytest.approx(0.615, abs=0.005)


def test_both_planes_hold_the_three_phases(bert: Diagram):
    """Skip and depth; levels rise, cells are as many as axes say, entropy falls from left to right."""
    assert [plane.axis for plane in bert.planes] == ["depth", "skip"]
    for plane in bert.planes:
        assert (
            np.shape(plane.finite.phase)
            == np.shape(plane.infinite.phase)
            == (len(plane.levels), len(plane.betas))
        )
        assert {phase for row in plane.finite.phase for phase in row} == {
            "rank collapse",
            "trainable",
            "entropy collapse",
        }
        assert np.all(np.diff(plane.levels) > 0)
        assert np.all(np.diff(plane.betas) > 0)
        assert np.all(np.diff(plane.entropy) < 0)


def test_the_cell_around_the_point_agrees_with_it(bert: Diagram):
    """The grid and the point come from one map."""
    plane = bert.planes[1]
    row = int(np.argmin(np.abs(np.log(plane.levels))))
    column = int(np.argmin(np.abs(np.log(np.array(plane.betas) / bert.here.point.beta))))
    assert plane.finite.phase[row][column] == bert.here.point.phase
    assert plane.finite.similarity[row][column] == pytest.approx(bert.here.point.similarity, abs=0.05)


def test_a_weaker_skip_and_a_deeper_stack_collapse(bert: Diagram):
    """Along both axes similarity moves one way, below freezing."""
    depth, skip = (np.array(plane.finite.similarity)[:, 0] for plane in bert.planes)
    assert np.all(np.diff(skip) <= 1e-12)
    assert np.all(np.diff(depth) >= -1e-12)


def test_words_say_where_it_stands_and_what_would_move_it(bert: Diagram):
    """For somebody who has not read the papers."""
    text = " ".join(bert.here.words)
    for word in (
        "Trainable at initialisation",
        "Without its skip connections",
        "T -> infinity map",
        "Would move it: depth: 12 blocks now",
        "pre-LN instead of post-LN: trainable",
    ):
        assert word in text


def test_a_diagram_is_plain_data(bert: Diagram):
    """Nothing of numpy is left in it, six digits of each number: it comes back from JSON as it went."""
    assert msgspec.json.decode(msgspec.json.encode(bert), type=Diagram) == bert
    assert bert.here.point.beta == float(f"{bert.here.point.beta:.6g}")


@pytest.mark.parametrize(
    ("config", "knob"),
    [
        (BERT, "init_std"),
        (BERT, "query_key_std"),
        (BERT, "residual_scale"),
        (BERT | {"initializer_range": 0.08}, "init_std"),
        (GPT2 | {"initializer_range": 0.15}, "query_key_std"),
    ],
)
def test_a_change_does_what_it_says(config: dict[str, object], knob: str):
    """The model as changed is in the phase the change names, and 2% short of it still in the old one."""
    reading = from_config(config)
    a, i = reading.architecture, reading.initialisation
    rows = rows_of(a)
    now = str(outcome(a, setting(a, i), rows).phase)
    (change, *_) = _found(changes(a, i, rows), knob)
    factor = float(change.after) / float(change.before)

    def phase(f: float) -> str:
        if knob == "residual_scale":
            b = replace(a, skip_attention=a.skip_attention * f, skip_mlp=a.skip_mlp * f)
            return str(outcome(b, setting(b, i), rows).phase)
        names = ["sd_query", "sd_key"]
        names += [] if knob == "query_key_std" else ["sd_value", "sd_output", "sd_mlp_in", "sd_mlp_out"]
        j = replace(i, **{name: getattr(i, name) * f for name in names})
        return str(outcome(a, setting(a, j), rows).phase)

    assert phase(factor * 1.001 if factor > 1 else factor / 1.001) == change.phase != now
    assert phase(factor**0.98) == now


def test_depth_at_which_it_collapses_is_found():
    """A BERT of 12 blocks may grow to about sixty; one of 1000 must shrink to as many."""
    for depth in (12, 1000):
        reading = from_config(BERT | {"num_hidden_layers": depth})
        (change,) = _found(_changes(reading), "depth")
        assert 55 < int(change.after) < 70


def test_norm_placement_is_tried_both_ways(overlaps_512: EveryKey):
    """Pre-LN saves a BERT of 1000 blocks, and a model that is neither is tried as both."""
    reading = from_config(BERT | {"num_hidden_layers": 1000})
    (change,) = _found(_changes(reading), "norm_placement")
    assert (change.before, change.after, change.phase) == ("post", "pre", "trainable")
    neither = replace(reading.architecture, placement="sandwich", depth=4)
    tried = _found(changes(neither, reading.initialisation, overlaps_512), "norm_placement")
    assert [change.after for change in tried] == ["pre", "post"]


def test_scaled_projections_are_tried_on_and_off():
    """Dividing by sqrt(2L) mends a deep BERT; GPT-2 is tried without."""
    for config, after in ((BERT | {"num_hidden_layers": 200}, "1/sqrt(2L)"), (GPT2, "1")):
        reading = from_config(config)
        (change,) = _found(_changes(reading), "residual_projections")
        assert change.after == after
        assert change.phase == "trainable"
        assert ("it stays trainable" if config is GPT2 else "it becomes trainable") in change.words


def test_projections_scaled_in_attention_alone_leave_the_mlp_as_it_is():
    """NanoChat draws W_O by depth and the MLP not; a stack without W_O has W_V scaled in its place."""
    reading = from_config(GPT2 | {"model_type": "nanochat", "use_qk_norm": True})
    (change,) = _found(_changes(reading), "residual_projections")
    a, i = reading.architecture, replace(reading.initialisation, sd_output=0.02)
    assert change.similarity == pytest.approx(float(outcome(a, setting(a, i), rows_of(a)).similarity))
    bare, weights = plain(output_projection=False), unit()
    (scaled,) = _found(changes(bare, weights, rows_of(bare)), "residual_projections")
    smaller = replace(weights, sd_value=weights.sd_value / 12**0.5, sd_mlp_out=weights.sd_mlp_out / 12**0.5)
    assert scaled.similarity == pytest.approx(
        float(outcome(bare, setting(bare, smaller), rows_of(bare)).similarity)
    )


def test_a_knob_that_moves_nothing_says_so(overlaps_256: EveryKey):
    """No value of W_Q and W_K gets a collapsed stack out of it; normed queries have no such knob at all."""
    a, i = plain(depth=60), unit()
    (change,) = _found(changes(a, i, overlaps_256), "query_key_std")
    assert change.after is None
    assert "leaves it in the same phase: rank collapse" in change.words
    assert not _found(changes(replace(a, qk_norm=True), i, overlaps_256), "query_key_std")


def test_a_deeper_gpt2_has_smaller_projections():
    """The model at another depth is the one its configuration would draw at that depth."""
    reading, deep = from_config(GPT2), from_config(GPT2 | {"n_layer": 48})
    a, rows = deep.architecture, rows_of(deep.architecture)
    moved = by_depth(reading.architecture, reading.initialisation, np.array(48))
    expected = outcome(a, setting(a, deep.initialisation), rows).similarity
    assert outcome(a, moved, rows).similarity == pytest.approx(float(expected))


def test_depth_may_not_matter():
    """GPT-2 stays trainable at any depth that is tried, as its projections shrink along."""
    reading = from_config(GPT2)
    (change,) = _found(_changes(reading), "depth")
    assert change.after is None


@pytest.mark.parametrize("config", [BERT, GPT2, LLAMA], ids=lambda config: config["model_type"])
def test_a_diagram_costs_little_beyond_its_rows(config: dict[str, object]):
    """The planes, the point, the profile and every change together: no more than fifteen tables of overlaps."""
    reading = from_config(config)
    began = time.process_time()
    finite_length(reading.architecture.tokens)
    tabled = time.process_time()
    diagram(reading)
    assert time.process_time() - tabled < 15 * (tabled - began)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [(BERT | {"num_hidden_layers": 1000}, 512), (GPT2, 2), (LLAMA, 8192)],
    ids=["1000 blocks", "2 tokens", "8192 tokens"],
)
def test_extremes_are_drawn_too(config: dict[str, object], tokens: int):
    """Every cell has a similarity, at a thousand blocks, two tokens, eight thousand tokens."""
    reading = from_config(config, tokens=tokens)
    found = diagram(reading, columns=7, rows=7)
    assert all(0 <= value <= 1 for plane in found.planes for row in plane.finite.similarity for value in row)
    assert len(found.here.profile.similarity) == reading.architecture.depth + 1


def test_without_skips_the_diagram_still_stands():
    """No residual: one assumption fails and is named; the skip axis is in absolute scales."""
    found = diagram(read(plain(skip_attention=0.0, skip_mlp=0.0), unit()), axes=("skip",), columns=5, rows=5)
    assert found.here.point.phase == "rank collapse"
    assert any("no residual" in line for line in found.here.assumptions)
    assert any("no skip connection" in line for line in found.here.words)
    assert found.planes[0].finite.phase[-1][0] == "trainable"


def test_equal_tokens_cannot_be_told_apart_by_attention():
    """rho_0 = 1: there is no beta_c, and the words say why."""
    found = diagram(read(plain(), unit(p0=1.0)), axes=())
    assert found.here.point.beta_critical is None
    assert any("all equal" in line for line in found.here.words)


@pytest.mark.parametrize("config", [BERT, GPT2], ids=lambda config: config["model_type"])
@pytest.mark.parametrize("spread", [1e-10, 9.9])
def test_absurd_spreads_give_numbers_all_the_same(config: dict[str, object], spread: float):
    """Weights of next to nothing or of ten: no division by zero, no NaN."""
    found = diagram(from_config(config | {"initializer_range": spread}), columns=3, rows=3)
    assert all(0 <= value <= 1 for value in found.here.profile.similarity)
    assert all(
        0 <= value <= 1 for plane in found.planes for row in plane.infinite.similarity for value in row
    )


def test_frozen_attention_is_called_so():
    """Large W_Q and W_K at a short depth."""
    found = diagram(
        read(plain(depth=1, skip_attention=2.0, skip_mlp=2.0), unit(sd_query=0.5, sd_key=0.5)), axes=()
    )
    assert found.here.point.phase == "entropy collapse"
    assert found.here.words[0].startswith("Entropy collapse")
    assert found.here.point.entropy_share < 0.2
