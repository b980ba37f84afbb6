"""What is measured on another device is what is measured here; what does not fit on one is spread over several."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.errors import MachineFault, UnusableInput
from audit.models import devices
from audit.models.devices import placed
from audit.models.streaming import pieces
from tests.models import measured_elsewhere
from tests.models.measured_elsewhere import CROSSED, FAMILIES, audited, model_of, moved

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ROOM = 10**9


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
    assert simulated["audited"]["bert_tiny"] == {"off": []}


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_gives_the_same_numbers(family: str) -> None:
    """A real one."""
    found = moved(family, "cuda")
    assert (found["devices"], found["off"]) == (["cuda:0"], [])


@pytest.mark.gpu
@gpu
def test_an_audit_on_a_gpu_says_the_same(bert_tiny: Path) -> None:
    """Gradients and experiments among it."""
    assert not audited(bert_tiny, "cuda")


def test_a_device_that_is_not_there_is_one_line() -> None:
    """Whatever PyTorch makes of it."""
    with pytest.raises(UnusableInput, match="device 'cuda:7' cannot be used: .*; try 'cpu'"):
        placed(model_of("llama"), "cuda:7")


def test_blocks_are_shared_out_evenly() -> None:
    """In order; what lies beside them stays on the first device."""
    model = model_of("llama")
    shares = devices._shares(model, {0: ROOM, 1: ROOM})
    own = [shares.pop(name) for name, _ in devices._blocks(model)]
    assert own == [0, 1]
    assert set(shares.values()) == {0}


def test_blocks_that_share_weights_stay_together() -> None:
    """As the attention of zamba does: a module runs where its weights are."""
    model = model_of("zamba")
    shares = devices._shares(model, {0: ROOM, 1: ROOM})
    shared = [name for name, piece in pieces(model) if hasattr(piece, "shared_transf")]
    assert len(shared) > 1
    assert {shares[name] for name in shared} == {0}
    assert 1 in shares.values()


def test_a_model_that_fits_nowhere_is_one_line() -> None:
    """With what would help."""
    with pytest.raises(MachineFault, match=r"do not fit on 2 devices .*: use a narrower --dtype"):
        devices._shares(model_of("llama"), {0: 1000, 1: 200_000})
