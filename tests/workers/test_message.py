"""The job message: held to its schema and limits, one clear line for each way to be wrong."""

import msgspec
import pytest

from audit.errors import UnusableInput
from audit.results import Plan
from workers.message import LARGEST, Message, decoded, encoded, usable_id

GOOD = {"schema": 1, "checkpoint": "team/model"}


def test_the_smallest_message_is_filled_with_defaults():
    """A schema and a checkpoint are enough."""
    message = decoded(msgspec.json.encode(GOOD))
    assert message == Message(checkpoint="team/model", plan=Plan())


def test_a_message_is_read_back_as_it_was_written():
    """Every field travels."""
    message = Message(
        checkpoint="m",
        plan=Plan(depth="full", seed=3, probes=("prose",), metrics=("sink_mass",)),
        requested_by="ci",
        priority=9,
        policy="strict.toml",
        adapter="lora",
        pdf=False,
        force=True,
    )
    assert decoded(encoded(message)) == message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "schema 2; this service reads 1"),
        ({"schema": None}, "schema None"),
        ({"checkpoint": ""}, "relative to the model root"),
        ({"checkpoint": "../x"}, "without '..'"),
        ({"checkpoint": "a/../../x"}, "without '..'"),
        ({"checkpoint": "/etc/passwd"}, "relative to the model root"),
        ({"checkpoint": "~root"}, "relative to the model root"),
        ({"checkpoint": "a\nb"}, "relative to the model root"),
        ({"checkpoint": "a\\..\\b"}, "relative to the model root"),
        ({"checkpoint": 7}, "Expected `str`"),
        ({"checkpoint": "x" * 2_000}, "checkpoint is longer than 1024"),
        ({"requested_by": "\x1b[2J"}, "cannot be printed"),
        ({"adapter": "../x"}, "adapter '../x' must be"),
        ({"policy": "../x.toml"}, "policy '../x.toml' must be"),
        ({"policy": "defalt"}, "did you mean default"),
        ({"plan": {"probes": ["/etc/passwd"]}}, "probe '/etc/passwd' must be"),
        ({"plan": {"depth": "bottomless"}}, "depth"),
        ({"plan": {"samples": 10**9}}, "--samples 1000000000 is outside"),
        ({"plan": {"batch_size": 0}}, "--batch-size 0 is outside"),
        ({"plan": {"seed": -1}}, "--seed -1 is negative"),
        ({"plan": {"sed": 1}}, "did you mean seed"),
        ({"plan": {"seed": "1"}}, "Expected `int`"),
        ({"plan": []}, "a JSON object"),
        ({"priority": 10}, "priority 10 is outside 0..9"),
        ({"priority": -1}, "outside 0..9"),
        ({"run": "rm -rf"}, "unknown key in a job message: 'run'"),
    ],
)
def test_a_wrong_message_is_refused_by_one_line(change, reason):
    """The line names the part."""
    with pytest.raises(UnusableInput) as refused:
        decoded(msgspec.json.encode({**GOOD, **change}))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00"])
def test_what_is_no_object_is_refused(text):
    """Whatever the bytes."""
    with pytest.raises(UnusableInput):
        decoded(text)


def test_a_long_message_is_not_even_parsed():
    """The limit comes first."""
    with pytest.raises(UnusableInput, match=f"at most {LARGEST}"):
        decoded("[" * (LARGEST + 1))
    with pytest.raises(UnusableInput, match="at most"):
        encoded(Message(checkpoint="m", plan=Plan(metrics=("m" * LARGEST,))))


def test_the_key_is_what_is_asked_for_and_not_by_whom():
    """Two people asking for the same audit ask for the same work."""
    one = Message(checkpoint="m", plan=Plan(seed=1))
    same = Message(checkpoint="m", plan=Plan(seed=1), requested_by="other", priority=1)
    assert one.key == same.key
    assert one.key != Message(checkpoint="m", plan=Plan(seed=2)).key


@pytest.mark.parametrize("job_id", ["", "../../x", "a.b", "a b", "a\n", "x" * 129, None, 7, "a/b", ".hidden"])
def test_an_id_that_could_leave_its_folder_is_none(job_id):
    """It becomes part of the name of the attempt's folder."""
    assert not usable_id(job_id)
    assert usable_id("5417af4d-4e1b-4e10-bc86-dc2fcfbcdd12")
