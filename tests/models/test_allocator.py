"""A process that measures has its heap set up from its start."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import audit
from audit.models.allocator import ENVIRONMENT

SCRIPT = """
import os, sys
from audit.models.allocator import begin_anew
begin_anew()
print(os.environ["GLIBC_TUNABLES"], *sys.argv[1:], sys.flags.safe_path, sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ENVIRONMENT["GLIBC_TUNABLES"]),
        ({"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}, "glibc.malloc.perturb=0"),
    ],
)
def test_a_process_begins_anew_once_with_all_that_it_was_told(
    given: Mapping[str, str], expected: str
) -> None:
    """The same interpreter, flags and arguments; whoever chose another heap keeps it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, "a b", "--c"],
        env={**given, "PYTHONPATH": str(Path(audit.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"{expected}|a b|--c|True\n"


def test_a_program_read_from_a_pipe_is_not_lost() -> None:
    """It could not be read again."""
    done = subprocess.run(
        [sys.executable, "-P", "-"],
        input="from audit.models.allocator import begin_anew\nbegin_anew()\nprint('here')",
        env={"PYTHONPATH": str(Path(audit.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "here\n"
