"""What is measured on another device is what is measured here; what does not fit on one is spread over several."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from audit.errors import MachineFault, UnusableInput
from audit.models import devices, fresh
from audit.models.devices import placed, placed_like
from tests.models import measured_elsewhere
from tests.models.measured_elsewhere import CROSSED, FAMILIES, METRICS, audited, model_of, moved

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def simulated(bert_tiny: Path) -> Any:
    """What a process with two simulated devices found."""
    command = [sys.executable, "-m", measured_elsewhere.__name__, str(bert_tiny)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_another_device_gives_the_same_numbers(family: str, simulated: Any) -> None:
    """Tensors of two devices never meet, and none is taken for one that lies here."""
    found = simulated["moved"][family]
    assert (found["devices"], found["off"]) == (["elsewhere:0"], [])
    assert found["found"] > len(METRICS) / 2


def test_the_device_that_is_named_is_taken(simulated: Any) -> None:
    """And no other."""
    found = simulated["named"]["llama"]
    assert (found["devices"], found["off"]) == (["elsewhere:1"], [])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_too_large_for_one_is_spread_over_two(family: str, simulated: Any) -> None:
    """With the same numbers, measured in the same way."""
    found = simulated["spread"][family]
    assert (found["devices"], found["off"]) == (["elsewhere:0", "elsewhere:1"], [])
    assert found["paths"] == simulated["moved"][family]["paths"]


@pytest.mark.parametrize("family", CROSSED)
def test_gradients_cross_devices(family: str, simulated: Any) -> None:
    """From the loss on one to the first block on another."""
    found = simulated["crossed"][family]
    assert (found["devices"], found["off"]) == (["cpu", "elsewhere:0"], [])


def test_an_audit_on_another_device_says_the_same(simulated: Any) -> None:
    """Gradients and experiments among it."""
    assert simulated["audited"]["bert_tiny"] == {"off": [], "device": "elsewhere"}


def test_an_audit_tells_which_devices_it_was_spread_over(simulated: Any) -> None:
    """In its provenance; what it found is the same."""
    assert simulated["apart"]["bert_tiny"] == {"off": [], "device": "elsewhere:0, elsewhere:1"}


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_the_same_numbers(family: str) -> None:
    """A real one."""
    found = moved(family, "cuda")
    assert (found["devices"], found["off"]) == (["cuda:0"], [])


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("family", CROSSED)
def test_gpus_share_a_model(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients among it."""
    half = measured_elsewhere.half(model_of(family))
    monkeypatch.setattr(devices, "_room", lambda _, index: (*half, 0, 0, 0, 0, 0, 0)[index])
    found = moved(family, "cuda")
    assert (found["devices"], found["off"]) == (["cuda:0", "cuda:1"], [])


@pytest.mark.gpu
@gpu
def test_an_audit_on_a_gpu_says_the_same(bert_tiny: Path) -> None:
    """Gradients and experiments among it."""
    assert audited(bert_tiny, "cuda") == {"off": [], "device": "cuda"}


def test_a_device_that_is_not_there_is_one_line() -> None:
    """Whatever PyTorch makes of it."""
    with pytest.raises(UnusableInput, match="device 'cuda:99' cannot be used: .*; try 'cpu'"):
        placed(model_of("llama"), "cuda:99")


class Devices:
    """A kind of device: so many bytes are free on each, and None of one that does not say."""

    def __init__(self, *free: int | None) -> None:
        self._free = free
        self.asked: list[int] = []
        self._kept = True

    def device_count(self) -> int:
        return len(self._free)

    def empty_cache(self) -> None:
        self._kept = False

    def mem_get_info(self, index: int) -> tuple[int, int]:
        self.asked.append(index)
        free = self._free[index]
        if free is None:
            raise RuntimeError("the device is busy")
        return 0 if self._kept else round(free / devices.WEIGHTS) + 1, 0


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where tiny llama goes when so many bytes may be taken on each device, in parts of its weights."""

    def found(*free: float | None) -> tuple[Any, list[int]]:
        model = model_of("llama")
        size = devices._size(model)
        module = Devices(*(None if part is None else round(part * size) for part in free))
        monkeypatch.setattr(torch, "get_device_module", lambda _: module)
        return devices._room_for(model, "cuda"), module.asked

    return found


@pytest.mark.parametrize(
    ("free", "where", "asked"),
    [
        ((1.1, 1.1), "cuda:0", [0]),  # the second is left in peace
        ((0.1, 1.1), "cuda:1", [0, 1]),
        ((0.9, None, 1.1), "cuda:2", [0, 1, 2]),
        ((None, 1.1), "cuda:1", [0, 1]),
        ((None, None), "cuda", [0, 1]),
        ((0.5,), "cuda", []),
    ],
)
def test_one_device_is_enough_where_it_has_room(
    free: Any, where: str, asked: list[int], room_for: Any
) -> None:
    """The first that has, as far as they say."""
    assert room_for(*free) == (where, asked)


def stack(blocks: int) -> torch.nn.Module:
    """Blocks of 32 bytes, and nothing beside them."""
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList(torch.nn.Linear(8, 1, bias=False) for _ in range(blocks))
    return model


@pytest.mark.parametrize(("blocks", "count"), [(8, 2), (40, 8), (80, 8), (32, 4)])
def test_blocks_are_shared_out_evenly(blocks: int, count: int) -> None:
    """In order, as many on each of devices that are alike."""
    shares = devices._shares(stack(blocks), dict.fromkeys(range(count), 32 * blocks))
    assert [*shares.values()] == sorted(shares.values())
    assert {*Counter(shares.values()).values()} == {blocks // count}


def test_a_larger_device_takes_more() -> None:
    """In parts of the room that each has."""
    shares = devices._shares(stack(12), {0: 300, 1: 100})
    assert Counter(shares.values()) == {0: 9, 1: 3}


def test_what_lies_beside_the_blocks_takes_room(room_for: Any) -> None:
    """Where it stays together; the others have the more of the blocks."""
    model = model_of("llama")
    shares, _ = room_for(0.9, 0.9)
    own = [shares.pop(name) for name, _ in devices._blocks(model)]
    assert own == [0, 1]
    assert set(shares.values()) == {0}


@pytest.mark.parametrize("free", [(0.9, 0.4), (0.4, 0.9), (0.01, 0.7, 0.0, 0.7), (0.4, 0.4, 0.4)])
def test_no_device_is_overfilled(free: Any, room_for: Any) -> None:
    """Whichever of them lies first; a full one is passed over."""
    model = model_of("llama")
    shares, _ = room_for(*free)
    held: Counter[int] = Counter()
    for name, index in shares.items():
        held[index] += devices._size(model.get_submodule(name))
    assert sum(held.values()) == devices._size(model)
    for index, bytes_ in held.items():
        assert bytes_ <= free[index] * devices._size(model) + 1


def test_what_fits_only_tightly_is_spread_too() -> None:
    """Devices too small for a block leave their share to the others; what lies beside the blocks counts where it is."""
    model = stack(5)
    model.head = torch.nn.Linear(8, 1, bias=False)
    shares = devices._shares(model, {0: 10, 1: 132, 2: 31, 3: 31, 4: 66})
    assert [*shares.values()] == [1, 1, 1, 4, 4, 1]


@pytest.mark.parametrize(("family", "list_"), [("zamba", "shared_transf"), ("flaubert", "attentions")])
def test_what_belongs_together_stays_together(family: str, list_: str) -> None:
    """A module that several blocks share runs where its weights are; lists beside lists are no blocks."""
    apart = {name for name, _ in devices._blocks(model_of(family))}
    assert not any(hasattr(model_of(family).get_submodule(name), list_) for name in apart)
    assert not any(list_ in name for name in apart)
    assert bool(apart) == (family == "zamba")


@pytest.mark.parametrize("why", ["out of memory", "no float64"])
def test_a_device_without_what_is_needed_is_one_line(
    why: str, room_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the model is moved, where it can be known."""

    def zeros(*_: Any, dtype: torch.dtype, device: str) -> None:
        assert (dtype, device) == (torch.float64, "cuda:1")
        raise torch.OutOfMemoryError(why) if "memory" in why else TypeError(why)

    room_for(0.1, 1.1)
    monkeypatch.setattr(torch, "zeros", zeros)
    kind = MachineFault if "memory" in why else UnusableInput
    with pytest.raises(kind, match=f"device 'cuda' .*: {why}"):
        placed(model_of("llama"), "cuda")


def test_a_second_model_needs_room_of_its_own(room_for: Any) -> None:
    """Where the first one is, as long as that is one device."""
    room_for(0.9, 1.1)
    other: Any = SimpleNamespace(device=torch.device("cuda:0"))
    with pytest.raises(MachineFault, match="do not fit on devices with room for"):
        placed_like(model_of("llama"), other)


@pytest.mark.parametrize("free", [(0.01, 0.3), (0.0, 0.0)])
def test_a_model_that_fits_nowhere_is_one_line(free: Any, room_for: Any) -> None:
    """With what would help."""
    with pytest.raises(MachineFault, match=r"do not fit on devices with room for .*: use a narrower --dtype"):
        room_for(*free)


def test_a_second_model_without_room_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit goes on without it, and says why."""

    def full(*_: Any) -> None:
        raise MachineFault("no room")

    loaded: Any = SimpleNamespace(
        model=model_of("llama"),
        streamed=None,
        subject=SimpleNamespace(parameters=1),
        config=model_of("llama").config,
    )
    monkeypatch.setattr(fresh, "placed_like", full)
    assert fresh.reinitialised(loaded, 0) == "not run: a second model was to stand beside the first: no room"
