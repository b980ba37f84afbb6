"""Plans: what is refused, what belongs to a depth, what makes two measurements the same."""

import dataclasses

import pytest

from audit import plan as planning
from audit.checkpoint.opening import open_checkpoint
from audit.errors import UnusableInput
from audit.limits import checked
from audit.results import Plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples": 0}, "--samples 0 is outside 1..100000"),
        ({"max_length": 8}, "--max-length 8 is outside"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"seed": -1}, "--seed -1 is negative"),
        ({"seed": 2**63}, "--seed 9223372036854775808 is too large"),
        ({"threads": 0}, "--threads 0"),
        ({"dtype": "int8"}, "--dtype 'int8' is none of"),
        ({"depth": "deep"}, "--depth 'deep' is none of"),
    ],
)
def test_an_unusable_option_is_named(changes, said):
    """The option as typed, its value, and what is allowed."""
    with pytest.raises(UnusableInput, match=said):
        checked(Plan(**changes))


def test_depth_chooses_probes():
    """Quick = prose; standard = + code; full = + long."""
    by_depth = {
        depth: [p.name for p in planning.probes(Plan(depth=depth))] for depth in ("quick", "standard", "full")
    }
    assert by_depth == {"quick": ["prose"], "standard": ["code", "prose"], "full": ["code", "long", "prose"]}


def test_named_probes_replace_those_of_the_depth_and_each_is_fed_once():
    """What a user names is what is fed."""
    assert [p.name for p in planning.probes(Plan(probes=("random", "code", "random")))] == ["random", "code"]


def test_unknown_names_are_answered_with_the_nearest():
    """For probes as for metrics."""
    with pytest.raises(UnusableInput, match="did you mean prose"):
        planning.probes(Plan(probes=("prosa",)))
    with pytest.raises(UnusableInput, match="did you mean sink_mass"):
        planning.metrics(Plan(metrics=("sinkmass",)))


def test_identity_follows_what_decides_a_number_and_nothing_else(bert_tiny, tmp_path):
    """Seed, samples, text and versions change it; threads, batch size and a file's path do not."""
    checkpoint = open_checkpoint(bert_tiny)
    probe = tmp_path / "a.txt"
    probe.write_text("one two three " * 50)
    moved = tmp_path / "elsewhere" / "a.txt"
    moved.parent.mkdir()
    moved.write_bytes(probe.read_bytes())
    other = tmp_path / "b.txt"
    other.write_text("four five six " * 50)

    def identity(engine="1", **changes):
        plan = dataclasses.replace(Plan(probes=(str(probe),)), **changes)
        fed, measured = planning.probes(plan), planning.metrics(plan)
        return planning.measurement_id(checkpoint, plan, fed, measured, engine={"engine": engine})

    same = {
        identity(),
        identity(threads=1),
        identity(batch_size=3),
        identity(probes=(str(moved),)),
    }
    different = [
        identity(seed=1),
        identity(samples=8),
        identity(engine="2"),
        identity(probes=(str(other),)),
        identity(dtype="bfloat16"),
        identity(metrics=("sigma_1",)),
        identity(chat=True),
        identity(
            show_text=True
        ),  # an audit that withholds own texts is not the one that shows them, nor vice versa
        identity(probes=("prose",), depth="quick"),
        identity(probes=(), depth="quick"),  # gives way to random tokens where there is no tokenizer
    ]
    assert len(same) == 1
    assert len({*different, *same}) == len(different) + 1
    assert identity(probes=("prose",), show_text=True) == identity(probes=("prose",))
