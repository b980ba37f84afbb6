"""Linear maps by oneDNN: the same numbers, a row by itself, few sizes, and nothing that is not theirs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from audit.checkpoint.opening import open_checkpoint
from audit.models import linear
from audit.models.inputs import model_inputs
from audit.models.linear import ROWS, SMALL, ByOneDnn, multiplied
from audit.models.loading import load_model
from audit.models.passes import Watcher, run
from tests.models.watching import random_batch

aten = torch.ops.aten
IN, OUT = 160, 208


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each call of oneDNN."""
    calls: list[int] = []
    real = linear._at_once

    def note(rows: Tensor, size: int, *more: Tensor) -> Tensor:
        calls.append(size)
        return real(rows, size, *more)

    monkeypatch.setattr(linear, "_at_once", note)
    return calls


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 96, 100, 128, 129, 800, 1000, 1024, 1025, 2500])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_a_map_is_what_it_is_in_float64(rows: int, transposed: bool, biased: bool, called: list[int]) -> None:
    """Within the rounding of float32, with weights laid out as `nn.Linear` or as `Conv1D` has them."""
    entering, bias = _random(rows, IN), _random(OUT, seed=1)
    columns = _random(IN, OUT, seed=2) if transposed else _random(OUT, IN, seed=2).mT
    found = (
        multiplied(aten.addmm.default, (bias, entering, columns), {})
        if biased
        else multiplied(aten.mm.default, (entering, columns), {})
    )

    expected = entering.double() @ columns.double() + (bias.double() if biased else 0.0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)
    assert called
    assert set(called) <= set(ROWS)
    assert sum(called) < 4 / 3 * rows + ROWS[-1]


def test_a_row_has_the_same_bits_whatever_stands_beside_it() -> None:
    """In batches of any size."""
    entering, columns = _random(1024, IN), _random(OUT, IN, seed=1).mT
    whole = multiplied(aten.mm.default, (entering, columns), {})
    for rows in (1, 7, 16, 100, 129, 700):
        assert torch.equal(multiplied(aten.mm.default, (entering[:rows], columns), {}), whole[:rows])
        assert torch.equal(multiplied(aten.mm.default, (entering[-rows:], columns), {}), whole[-rows:])


@pytest.mark.parametrize("rows", [16, 1024])
def test_a_map_has_the_same_bits_however_many_threads_run(rows: int) -> None:
    """Of a size that real models have."""
    entering, columns = _random(rows, 3072), _random(768, 3072, seed=1).mT
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(multiplied(aten.mm.default, (entering, columns), {}))
    finally:
        torch.set_num_threads(before)

    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_is_no_number_stays_in_its_row() -> None:
    """As it does in any product."""
    entering = _random(100, IN)
    entering[3, 5] = torch.nan
    entering[70, 0] = torch.inf
    found = multiplied(aten.mm.default, (entering, _random(OUT, IN, seed=1).mT), {})

    assert (~found.isfinite().all(1)).nonzero().flatten().tolist() == [3, 70]


def test_many_outputs_are_made_a_few_rows_at_a_time(called: list[int]) -> None:
    """A part of logits lies in memory beside all of them."""
    multiplied(aten.mm.default, (_random(300, 8), _random(40_000, 8, seed=1).mT), {})

    assert called == [128, 128, 16, 16, 16]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((_random(20, IN).double(), _random(IN, OUT).double()), {}),
        ((_random(20, IN).bfloat16(), _random(IN, OUT).bfloat16()), {}),
        ((_random(20, 64), _random(64, SMALL // 64 - 1)), {}),
        ((_random(20, IN), _random(2 * IN, 2 * OUT)[::2, ::2]), {}),
        ((_random(0, IN), _random(IN, OUT)), {}),
        ((_random(OUT), _random(20, IN), _random(IN, OUT)), {"alpha": 2.0}),
        ((_random(20, OUT), _random(20, IN), _random(IN, OUT)), {}),
        ((_random(1), _random(20, IN), _random(IN, OUT)), {}),
        ((_random(2 * OUT)[::2], _random(20, IN), _random(IN, OUT)), {}),
        ((_random(1).expand(OUT), _random(20, IN), _random(IN, OUT)), {}),
        ((_random(20, IN).to_sparse(), _random(IN, OUT)), {}),
    ],
    ids=[
        "float64",
        "bfloat16",
        "small",
        "strided",
        "empty",
        "scaled",
        "a bias of each row",
        "one bias",
        "strided bias",
        "expanded bias",
        "sparse",
    ],
)
def test_anything_else_is_left_to_the_operator(
    args: tuple[Tensor, ...], kwargs: dict[str, float], called: list[int]
) -> None:
    """To the last bit."""
    func = (aten.mm if len(args) == 2 else aten.addmm).default

    assert torch.equal(multiplied(func, args, kwargs), func(*args, **kwargs))
    assert not called


def test_who_switches_it_off_has_it_off(called: list[int]) -> None:
    """As PyTorch offers."""
    torch._C._set_mkldnn_enabled(False)
    try:
        multiplied(aten.mm.default, (_random(20, IN), _random(IN, OUT)), {})
    finally:
        torch._C._set_mkldnn_enabled(True)

    assert not called


def test_a_vocabulary_of_many_words_is_read_by_128_rows(called: list[int]) -> None:
    """Fewer at once gain nothing."""
    multiplied(aten.mm.default, (_random(256, 8), _random(70_000, 8, seed=1).mT), {})

    assert called == [128, 128]


def test_a_pass_is_run_so_and_comes_to_the_same(minilm: Path, called: list[int]) -> None:
    """Watched and not: six products of each of six layers and the pooler, within the rounding of float32."""
    model = load_model(open_checkpoint(minilm)).model
    fed = model_inputs(model, random_batch(model, length=64))
    with torch.no_grad():
        plain = model(**fed.inputs).last_hidden_state
    assert not called
    with torch.no_grad(), ByOneDnn():
        unwatched = model(**fed.inputs).last_hidden_state
    assert len(called) == 37
    watched = run(model, fed, Watcher()).last_hidden_state

    assert len(called) == 74
    torch.testing.assert_close(unwatched, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(watched, plain, rtol=1e-4, atol=1e-5)


def test_gradients_go_through_it(minilm: Path, called: list[int]) -> None:
    """Those of the operator that was asked for."""
    model = load_model(open_checkpoint(minilm)).model
    fed = model_inputs(model, random_batch(model, length=64))
    weight = model.encoder.layer[0].intermediate.dense.weight.requires_grad_()
    model(**fed.inputs).last_hidden_state.square().sum().backward()
    expected, weight.grad = weight.grad, None
    run(model, fed, Watcher(), differentiable=True).last_hidden_state.square().sum().backward()

    assert called
    assert expected is not None
    assert weight.grad is not None
    assert (weight.grad - expected).norm() < 1e-4 * expected.norm()
