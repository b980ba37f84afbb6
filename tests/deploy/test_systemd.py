"""The systemd units: as systemd reads them, and as closed as they can be."""

import re
import shutil
import subprocess

import pytest

from tests.deploy.common import UNITS
from workers.worker import FAREWELL

NAMES = ["attnaudit-worker@.service", "attnaudit-scheduler.service"]
MOST_EXPOSED = "20"  # tenths; 1.4 and 1.8 when this was written


@pytest.fixture
def units(tmp_path):
    """Copies whose command is on this machine, for systemd looks whether it is."""
    for name in NAMES:
        text = (UNITS / name).read_text()
        command = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE).group(1)
        (tmp_path / name).write_text(text.replace(command, shutil.which("true")))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_the_unit_and_finds_it_closed(units, name):
    """No unknown key, no misspelt value (manual pages may be absent); what stays open is the network that Redis needs."""
    for words in (("verify", "--man=no"), ("security", "--offline=true", f"--threshold={MOST_EXPOSED}")):
        done = subprocess.run(["systemd-analyze", *words, units / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Unknown" not in done.stderr
    (units / name).write_text((units / name).read_text().replace("ProtectHome=", "ProtectHouse="))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / name], capture_output=True, text=True
    )
    assert re.search("Unknown key.* 'ProtectHouse'", done.stderr)


def test_a_worker_may_finish_its_audit():
    """Only the worker hears the signal, and systemd waits longer than the grace."""
    text = (UNITS / NAMES[0]).read_text()
    grace = float(re.search(r"ATTNAUDIT_GRACE=(\d+)", text).group(1))
    assert float(re.search(r"TimeoutStopSec=(\d+)", text).group(1)) > grace + FAREWELL
    assert "\nKillMode=mixed\n" in text


def test_an_audit_may_leave_the_network():
    """What `workers/isolation.py` asks of the kernel: both namespaces, and no filter on the call."""
    text = (UNITS / NAMES[0]).read_text()
    assert "\nRestrictNamespaces=net user\n" in text
    done = subprocess.run(["systemd-analyze", "syscall-filter", "@process"], capture_output=True, text=True)
    assert "unshare" in done.stdout.split()
    assert "\nSystemCallFilter=@system-service\n" in text  # holds @process
