"""Three kinds of fault in one copy of a real encoder: planted, shown to be there, and found by the right rule."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.faults.kinds import KINDS
from tests.faults.looking import Walk
from tests.faults.planting import Texts, planted_copies, texts
from tests.faults.scoring import Alarms, shortfalls, table, wilson
from tests.faults.subjects import opened
from tests.faults.wiring import restored, wires

THREE = tuple(kind for kind in KINDS if kind.name in ("zeroed output", "muted output", "lazy attention"))


@pytest.fixture(scope="module")
def fed() -> Texts:
    return texts(opened("MiniLM"), seed=0)


def test_three_kinds_of_fault_in_one_encoder_are_found(fed: Texts) -> None:
    """By rule, layer and head; the model is afterwards as it was."""
    loaded = opened("MiniLM")
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}

    (results,) = planted_copies("MiniLM", loaded, fed, seed=0, strength="obvious", kinds=THREE)

    assert {result.kind for result in results} == {kind.name for kind in THREE}
    assert len({result.layer for result in results}) == 3
    assert [result for result in results if not result.found] == []
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.model.state_dict().items())


def test_no_document_is_fed_twice(fed: Texts) -> None:
    """Detection, confirmation and the further texts share none."""
    parts = [{(half.name, d) for half in part for b in half.batches for d in b.documents} for part in fed[:3]]
    assert [len(part) for part in parts] == [32, 32, 32]
    assert len(set.union(*parts)) == 96


@pytest.mark.parametrize(
    ("spoil", "changed"),
    [
        (lambda at: at.query.scale(0.0, 3), "pattern"),
        (lambda at: at.value.scale(0.0, 3), "heads"),
        (lambda at: at.output[:, 3].zero_(), "update"),
        (lambda at: at.mlp_output.zero_(), "thought"),
    ],
    ids=["queries", "values", "output", "mlp"],
)
def test_writing_to_the_wires_changes_the_model(
    spoil: Callable[[Any], Tensor], changed: str, fed: Texts
) -> None:
    """The views are of the weights themselves, and of that head alone."""
    model = opened("MiniLM").model
    site = Walk(model, fed.aiming[:4]).to(1)
    before = site.look()
    with restored(model):
        spoil(wires(model, 1))
        after = site.look()
    assert not torch.equal(getattr(before, changed), getattr(after, changed))
    if changed == "pattern":
        assert torch.equal(before.pattern[:, :3], after.pattern[:, :3])


def test_a_fault_that_is_not_there_is_not_attested(fed: Texts) -> None:
    """Every verification refuses a healthy block of the model it is for."""
    model = opened("MiniLM").model
    with restored(model):
        site = Walk(model, fed.aiming[:8]).to(3)
        attested = [kind.name for kind in KINDS if kind.true(site, (3,), kind.doses[0])]
    assert attested == []


def test_the_interval_of_a_proportion() -> None:
    """Wilson's, against the published worked example of 0 of 10, and its mirror."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_what_stays_behind_the_aims_is_said(fed: Texts) -> None:
    """Two false alarms on one model are one too many; the table names them."""
    raised = [Alarms("MiniLM", ("a", "b", "c"), ("a", "b"))]
    assert shortfalls([], raised) == ["2 false alarms on MiniLM, to be at most 1"]
    assert "contradicts 2: a, b" in table([], raised)
