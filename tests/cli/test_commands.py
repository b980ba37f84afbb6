"""The command line as a person types it: output, exit codes, and one clear line for every error."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit import store

ATTNAUDIT = [str(Path(sys.executable).parent / "attnaudit")]
QUICK = ["--depth", "quick", "--samples", "16", "--max-length", "32", "--no-pdf"]


@pytest.fixture(scope="module")
def audited(bert_tiny, tmp_path_factory):
    """A store with one audit, made by the real command."""
    folder = tmp_path_factory.mktemp("store")
    done = subprocess.run(
        [*ATTNAUDIT, "run", bert_tiny, "-o", folder, *QUICK], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def test_run_says_the_verdict_and_where_the_report_is(audited):
    """Result on standard output, progress on standard error, no noise of the libraries."""
    folder, done = audited
    (audit,) = store.published(folder)
    assert done.stdout.startswith("verdict  ")
    assert f"report   {audit / 'report.html'}" in done.stdout
    assert done.stderr.splitlines() == ["load: 1 done", "observe prose: 2 done", "report: 1 done"]


def test_json_prints_the_audit_and_nothing_else(audited, bert_tiny, attnaudit):
    """Byte for byte what was published."""
    folder, _ = audited
    (audit,) = store.published(folder)
    ran = attnaudit("run", bert_tiny, "-o", folder, *QUICK, "--json")
    assert ran.code == 0
    assert ran.out == (audit / "audit.json").read_text("utf-8")


def test_list_and_show_find_it(audited, attnaudit):
    """By store and by the beginning of its id; JSON for programs."""
    folder, _ = audited
    (audit,) = store.published(folder)
    (row,) = json.loads(attnaudit("list", "-o", folder, "--json").out)
    assert row["audit_id"] == audit.name
    assert audit.name in attnaudit("list", "-o", folder).out
    shown = attnaudit("show", audit.name[:6], "-o", folder)
    assert shown.code == 0
    assert "entropy_collapse" in shown.out


def test_report_draws_again_from_the_audit_alone(audited, attnaudit, tmp_path):
    """A lost report comes back the same, and the manifest stays true."""
    folder, _ = audited
    (audit,) = store.published(folder)
    before = (audit / "report.html").read_bytes()
    (audit / "report.html").unlink()
    assert attnaudit("report", audit, "--no-pdf").code == 0
    assert (audit / "report.html").read_bytes() == before
    store.read(audit)


@pytest.mark.parametrize("verb", ["metrics", "rules", "probes"])
def test_pieces_are_listed_for_people_and_programs(verb, attnaudit):
    """Name and one line each; JSON with the same names."""
    rows = json.loads(attnaudit(verb, "--json").out)
    text = attnaudit(verb).out
    assert len(rows) >= 4
    assert all(row["summary"] for row in rows)
    assert text.count("\n") >= len(rows)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text  # a narrow terminal folds, it cuts nothing off


def test_policy_show_prints_what_can_be_read_back(attnaudit, tmp_path):
    """The printed policy is a policy file with the same content."""
    first = attnaudit("policy", "show").out
    path = tmp_path / "copy.toml"
    path.write_text(first)
    assert attnaudit("policy", "show", path).out.replace('inherits = "default"\n', "") == first


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nowhere"], 2, "'nowhere'"),
        (["run", "nowhere", "--samples", "0"], 2, "nowhere"),
        (["show", "abc", "-o", "nowhere"], 2, "no store at 'nowhere'"),
        (["report", "nowhere"], 2, "no published audit"),
        (["policy", "show", "strickt"], 2, "unknown policy"),
        (["run"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_every_error_is_one_clear_line(words, code, said, attnaudit, tmp_path, monkeypatch):
    """What was found and where, on standard error; nothing on standard output, nothing on disk."""
    monkeypatch.chdir(tmp_path)
    ran = attnaudit(*words)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        *((["--device", name], 2, f"--device '{name}' is none of cpu") for name in ("meta", "gpu", "cpu:7")),
        (["-o", __file__], 2, "is a file: give the folder"),
        (["-o", Path(__file__) / "store"], 5, "cannot write to"),
        (["--probe", "random", "--chat"], 2, "--chat: only random token ids are fed, which are no message"),
        (["--max-length", "15"], 2, "--max-length 15 is outside 16.."),
        (["--seed", "-1"], 2, "--seed -1 is negative"),
        (["--threads", "0"], 2, "--threads 0 is below 1"),
        (["--metric", "entropy"], 2, "unknown metric 'entropy': did you mean"),
        (["--probe", "poetry"], 2, "unknown probe 'poetry'"),
        (["--probe", "nowhere.jsonl"], 2, "'nowhere.jsonl' does not exist"),
        (["--policy", "nowhere.toml"], 2, "nowhere.toml"),
        (["--adapter", "nowhere"], 2, "'nowhere'"),
        (["--chat"], 2, "--chat: this checkpoint's tokenizer has no chat template"),
    ],
)
def test_an_unusable_option_is_one_clear_line(
    options, code, said, bert_tiny, attnaudit, tmp_path, monkeypatch
):
    """On a checkpoint that is fine: exit code, what is wrong with which option, and nothing on disk."""
    monkeypatch.chdir(tmp_path)
    ran = attnaudit("run", bert_tiny, *QUICK, *options)
    assert ran.code == code
    assert said in ran.err
    assert len(ran.err.removeprefix("load: 1 done\n").splitlines()) == 1
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_is_exit_code_4_without_a_traceback(attnaudit, monkeypatch):
    """And with --debug the traceback is there."""

    def broken(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("audit.store.entries", broken)
    ran = attnaudit("list")
    assert ran.code == 4
    assert (
        ran.err
        == "attnaudit: a fault of ours: ZeroDivisionError: by zero; run again with --debug and report it\n"
    )
    with pytest.raises(ZeroDivisionError):
        attnaudit("list", "--debug")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_mid_run_leaves_nothing_half_made(number, bert_tiny, tmp_path):
    """Exit code 130, one line, an empty or absent store."""
    command = [
        *("env", "--default-signal=INT"),  # a shell that started the tests in the background has it ignored
        *ATTNAUDIT,
        "run",
        bert_tiny,
        "-o",
        tmp_path / "store",
        "--samples",
        "4000",
        "--depth",
        "quick",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("store/.attempt-*/measurements.parquet")):
            assert time.monotonic() < deadline
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.05)
        running.send_signal(number)
        assert running.wait(60) == 130
        assert "interrupted; nothing was published" in running.stderr.read()
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_unwritable_store_is_a_fault_of_the_machine(bert_tiny, attnaudit):
    """A place where no folder can be made: exit code 5 and what to do, before any work."""
    ran = attnaudit("run", bert_tiny, "-o", "/dev/full/store", *QUICK)
    assert ran.code == 5
    assert "cannot write to '/dev/full/store'" in ran.err
    assert "-o" in ran.err


def test_a_full_disk_leaves_nothing(bert_tiny, tmp_path):
    """A file-size limit stands for the full disk: exit code 5, one line, nothing torn."""
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); import signal; "
    code += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from workers.cli import main; sys.argv[0] = 'attnaudit'; main()"
    words = ["run", bert_tiny, "-o", tmp_path / "store", *QUICK]
    done = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert "cannot write to" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()
