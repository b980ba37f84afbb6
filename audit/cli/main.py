"""The `attnaudit` group: finds commands by name, turns errors into one line and an exit code."""

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from audit.errors import AuditError, MachineFault, is_panic
from audit.version import ENGINE

INTERRUPTED = 130
FAULT_OF_OURS = 4


class Verb(NamedTuple):
    """A command that is imported when it is called: `module:attribute` and its line of help."""

    target: str
    help: str
    measures: bool = False  # in this process, whose heap is set up for it


VERBS: Mapping[str, Verb] = {
    "run": Verb("audit.cli.run:run", "Audit one checkpoint in this process.", measures=True),
    "prune": Verb(
        "audit.cli.prune:prune", "Write a smaller checkpoint without what an audit confirmed redundant."
    ),
    "report": Verb("audit.cli.report:report", "Draw the HTML and PDF of an audit again."),
    "export": Verb(
        "audit.cli.export:export",
        "Write an audit as SARIF, JUnit XML, Markdown, CSV, Parquet; log it to MLflow.",
    ),
    "compare": Verb("audit.cli.compare:compare", "Compare two audits, with the significance of each change."),
    "trend": Verb(
        "audit.cli.trend:trend", "Follow a series of audits: when findings appear, where metrics turn."
    ),
    "series": Verb(
        "audit.cli.series:series",
        "Audit the checkpoints of one training, and warn of a collapse to come.",
        measures=True,
    ),
    "diagram": Verb("audit.cli.diagram:diagram", "Draw the trainability diagram of a configuration."),
    "verify": Verb(
        "audit.cli.verify:verify", "Check that report, attached JSON, digests and signature belong together."
    ),
    "list": Verb("audit.cli.stored:list_audits", "List the audits of a store."),
    "show": Verb("audit.cli.stored:show", "Show one audit of a store."),
    "metrics": Verb("audit.cli.pieces:metrics", "List what can be measured."),
    "rules": Verb("audit.cli.pieces:rules", "List what can be judged."),
    "probes": Verb("audit.cli.pieces:probes", "List what can be fed."),
    "bench": Verb(
        "audit.cli.bench:bench",
        "Compare what an audit costs with a plain forward pass and with what others run.",
    ),
    "policy": Verb("audit.cli.policy:policy", "Show the thresholds and severities in force."),
}


class Verbs(click.Group):
    """A group whose commands are named in a table and imported on demand: `list` must not cost an import of torch."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        super().__init__(
            "attnaudit",
            help="Audit the attention of a local transformer checkpoint, offline.",
            params=[
                click.Option(
                    ["--debug"], is_flag=True, help="Show tracebacks and the libraries' own messages."
                )
            ],
            callback=_quiet,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        )
        self._verbs = verbs
        click.version_option(ENGINE, prog_name="attnaudit")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if cmd_name not in self._verbs:
            return None
        command: click.Command = imported(self._verbs[cmd_name].target)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Help lines from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in self._verbs.items()])


def imported(target: str) -> Any:
    """What `module:attribute` names, imported now and not before it is needed."""
    module, attribute = target.split(":")
    return getattr(import_module(module), attribute)


def execute(group: click.Group, arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; no traceback reaches a user except with --debug."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = ["--debug", *(word for word in words if word != "--debug")] if debug else words
    try:
        result = group.main(words, prog_name="attnaudit", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _told("interrupted; nothing was published", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return 2
    except BaseException as error:
        if debug or not (isinstance(error, Exception) or is_panic(error)):
            raise
        return _explained(error)


def _explained(error: BaseException) -> int:
    if isinstance(error, AuditError):
        return _told(str(error), error.exit_code)
    if isinstance(error, MemoryError):
        line = "memory ran out; try a smaller --batch-size or --max-length. Nothing was published"
        return _told(line, MachineFault.exit_code)
    line = f"a fault of ours: {type(error).__name__}: {error}; run again with --debug and report it"
    return _told(line, FAULT_OF_OURS)


def _told(line: str, code: int) -> int:
    click.echo(f"attnaudit: {' '.join(line.split())}", err=True)
    return code


def _quiet(debug: bool) -> None:
    """Silence the libraries: what matters of their warnings is in the coverage."""
    if not debug:
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
