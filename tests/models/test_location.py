"""The running module and its block are known at every moment."""

import torch
from torch import Tensor, nn

from audit.models.location import Location, numbered


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


def test_the_outermost_item_of_a_list_is_the_block() -> None:
    """Lists within a block make none of their own, and its output comes with its end."""
    events: list[tuple[str, str]] = []
    outputs: list[Tensor] = []
    model = Model()

    def left(name: str, output: Tensor) -> None:
        events.append(("left", name))
        outputs.append(output)

    location = Location(model, on_enter=lambda name: events.append(("entered", name)), on_exit=left)
    with location.followed():
        result = model(torch.ones(1, 2))

    names = ["blocks.0", "blocks.1"]
    assert events == [(what, name) for name in names for what in ("entered", "left")]
    assert outputs[-1] is result


def test_the_innermost_module_is_named() -> None:
    """Also while it stands within others; outside of the model the name is empty."""
    model, names = Model(), []
    location = Location(model, on_enter=lambda _: None, on_exit=lambda *_: None)
    model.blocks[0].parts[1].register_forward_pre_hook(lambda *_: names.append(location.name))

    with location.followed():
        model(torch.ones(1, 2))
        nn.Linear(2, 2)(torch.ones(1, 2))

    assert names == ["blocks.0.parts.1"]
    assert location.name == ""


def test_the_first_run_of_a_module_has_its_plain_name() -> None:
    """Further ones are numbered."""
    assert (numbered("layer", 1), numbered("layer", 2)) == ("layer", "layer@2")
