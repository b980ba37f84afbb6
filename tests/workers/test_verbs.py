"""The command line of the queue stays in step with the library's."""

import logging
from importlib import import_module
from pathlib import Path

import pytest

from audit.cli.main import VERBS as LIBRARY
from audit.cli.run import run
from audit.outcomes import worst
from workers.cli import VERBS
from workers.jobs import job_from
from workers.logs import configure
from workers.paths import relative
from workers.settings import Settings
from workers.verbs.common import print_jobs
from workers.verbs.submit import submit

HERE_ONLY = {"store", "as_json", "explain", "debug", "sign", "key", "passphrase_file", "baseline"}


def test_submit_takes_what_run_takes():
    """An option that `run` learns, `submit` learns."""
    here, queued = ({option.name: option for option in verb.params} for verb in (run, submit))
    missing = set(here) - set(queued) - HERE_ONLY
    assert not missing
    for name in set(here) & set(queued) - {"store", "adapter", "policy"}:
        assert here[name].default == queued[name].default
        assert here[name].opts == queued[name].opts


def test_every_verb_can_be_imported():
    """Each name of the table leads to a command."""
    assert set(LIBRARY) < set(VERBS)
    for name in set(VERBS) - set(LIBRARY):
        module, attribute = VERBS[name].target.split(":")
        assert getattr(import_module(module), attribute).name == name


def test_exit_codes_are_the_library_s():
    """The worst of several, in the contract's order."""
    assert worst([0, 3, 1, 5, 4]) == 4
    assert worst([0, 1, 2]) == 2
    assert worst([0, 3]) == 3
    assert worst([]) == 0


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("models/tiny", "tiny"),
        ("models/gone", "gone"),
        ("models/sub/../tiny", "tiny"),
        ("tiny", "tiny"),
        ("models/models", "models"),
        ("models/both", "models/both"),
        ("../x", "../x"),
        ("models", "models"),
    ],
)
def test_a_path_seen_from_here_is_named_from_the_model_root(tmp_path, monkeypatch, given, name):
    """Whether it is there or not; a name from the root stays one."""
    for folder in ("tiny", "models/both"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert relative(given, root=Path("models")) == name


def test_names_that_look_like_markup_are_text(capsys):
    """A checkpoint's name must not change, or end, what is shown."""
    names = {"id": "a", "state": "queued", "accepted": "1", "checkpoint": "x[/red]y [bold]z"}
    print_jobs([job_from(names, [])])
    assert "x[/red]y [bold]z" in capsys.readouterr().out


def test_a_secret_is_in_no_line_however_it_is_written(capsys):
    """Plain, quoted for a URL, or escaped for JSON."""
    for form in ("plain", "json"):
        settings = Settings(redis_url="redis://:p%22%5C%C3%A9w@host/0", store=Path(), log_format=form)
        logging.getLogger("x").handlers.clear()
        configured = logging.getLogger().handlers[:]
        level = logging.getLogger().level
        configure(settings)
        logging.getLogger("x").error("at %s with %s", settings.redis_url, 'p"\\éw')
        logging.getLogger().handlers[:] = configured
        logging.getLogger().setLevel(level)
        logging.captureWarnings(capture=False)
        line = capsys.readouterr().err
        assert line.count("***") == 2
        assert "w@" not in line
        assert "éw" not in line
