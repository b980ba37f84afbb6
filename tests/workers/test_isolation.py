"""The process of an audit has no network: Python refuses, and the kernel has none to give."""

import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

_RAW = """
import ctypes, os, socket, struct, sys

def raw(port):
    # past Python: what a C library would do
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.socket(2, 1, 0)
    address = struct.pack("=H", 2) + struct.pack("!H", port) + bytes([127, 0, 0, 1]) + bytes(8)
    return libc.connect(descriptor, address, len(address)) == 0
"""


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-P", "-c", _RAW + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def listening():
    """The port of something that can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_could_be_reached_before_cannot_be_reached_after(listening):
    """By Python never; by a library that does not ask Python where the kernel plays along, which is said."""
    code = """
    from workers.isolation import cut_off
    port = int(sys.argv[1])
    before = raw(port)
    enforced = cut_off()
    print(before, enforced, raw(port))
    """
    before, enforced, after = run(code, listening)
    assert before == "True"
    assert after == ("False" if enforced == "True" else "True")
    if os.geteuid() == 0:
        assert enforced == "True"


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('127.0.0.1', int(sys.argv[1])))",
        "socket.socket()",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.getaddrinfo('localhost', 80)",
        "socket.gethostbyname('localhost')",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1:' + sys.argv[1])",
        "socket.socket(fileno=held).connect(('127.0.0.1', int(sys.argv[1])))",
        "__import__('asyncio').run(__import__('asyncio').open_connection('127.0.0.1', int(sys.argv[1])))",
    ],
)
def test_python_refuses_by_name(listening, attempt):
    """Also a socket that was open before."""
    code = f"""
    from workers.isolation import cut_off
    held = socket.socket().detach()
    cut_off()
    try:
        {attempt}
    except OSError as error:
        print("an audit has no network" in str(error))
    """
    assert run(code, listening) == ["True"]


def test_pipes_files_and_unix_sockets_go_on_working(tmp_path):
    """What an audit does need: its worker, the store, children of its own."""
    code = """
    import subprocess
    from workers.isolation import cut_off
    cut_off()
    one, other = socket.socketpair()
    one.send(b"x")
    path = sys.argv[1] + "/made"
    open(path, "w").write("x")
    uid = os.stat(path).st_uid == os.geteuid()
    print(other.recv(1).decode(), uid, subprocess.run(["true"]).returncode)
    """
    assert run(code, tmp_path) == ["x", "True", "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_rights_stays_who_he_is(listening):
    """In a namespace of his own he owns what he writes, and reaches nothing by Python."""
    code = """
    from workers.isolation import cut_off
    os.setgroups([])
    os.setgid(65533)
    os.setuid(65533)
    ctypes.CDLL(None).prctl(4, 1)  # as a program of his own would be
    enforced = cut_off()
    path = sys.argv[1] + "/made"
    open(path, "w").write("x")
    print(os.stat(path).st_uid, enforced == (not raw(int(sys.argv[2]))))
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        assert run(code, folder, listening) == ["65533", "True"]
        assert (Path(folder) / "made").stat().st_uid == 65_533
