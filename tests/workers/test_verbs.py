"""The command line of the queue stays in step with the library's."""

from importlib import import_module

from audit.cli.main import VERBS as LIBRARY
from audit.cli.run import run
from audit.outcomes import worst
from workers.cli import VERBS
from workers.verbs.submit import submit

HERE_ONLY = {"store", "as_json", "explain", "debug", "shards", "sign", "max_memory", "baseline"}


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
