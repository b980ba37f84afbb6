"""`attnaudit diagram`: where a configuration stands before training, and where its checkpoint was measured."""

import tempfile
from pathlib import Path

import click

from audit import store
from audit.checkpoint.json_files import read_json
from audit.cli.main import imported
from audit.errors import UnusableInput
from audit.report.sheet import FORMS, Sketch, sketch_of
from audit.results import Plan
from audit.theory.configuration import TOKENS, from_config
from audit.theory.diagram import diagram as computed

_CONFIG = "config.json"
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
_PASS = Plan(depth="quick", samples=8, metrics=("score_spread", "token_similarity"), confirm=False)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Repeatable: .html (default: diagram.html), .svg, .png or .json.",
)
@click.option("--tokens", type=int, help=f"Sequence length T; default: {TOKENS}, or what the model has.")
@click.option(
    "--similarity", type=float, help="Token cosine where the first block begins; default: unlike tokens."
)
@click.option("--config-only", is_flag=True, help="Look at config.json alone, measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def diagram(
    source: Path,
    *,
    outputs: tuple[Path, ...],
    tokens: int | None,
    similarity: float | None,
    config_only: bool,
    as_json: bool,
) -> int:
    """Draw the trainability diagram of SOURCE: a config.json, a checkpoint, or a published audit.

    From a configuration alone nothing is loaded. A checkpoint is passed a few texts and marked on the diagram as it
    was measured; of an audit, what it holds is drawn.
    """
    outputs = outputs or (() if as_json else (Path("diagram.html"),))
    for path in outputs:
        _refuse_unknown_form(path)
    sketch = _sketch(source, tokens, similarity, config_only=config_only)
    for path in outputs:
        with store.faults_of_the_disk(path):
            path.write_bytes(FORMS[path.suffix.lower()](sketch))
    if as_json:
        click.echo(FORMS[".json"](sketch), nl=False)
    else:
        here = sketch.diagram.here
        notes = [f"Note: {line}." for line in (*here.missing, *here.remarks)]
        click.echo("\n".join([*here.words, *notes, *(f"diagram  {path}" for path in outputs)]))
    return 0


def _refuse_unknown_form(path: Path) -> None:
    if path.suffix.lower() not in FORMS:
        raise UnusableInput(f"-o {str(path)!r} is of no form known here: end it in {', '.join(FORMS)}")


def _sketch(source: Path, tokens: int | None, similarity: float | None, *, config_only: bool) -> Sketch:
    """The diagram of a configuration, of a checkpoint or of an audit, whichever `source` is."""
    asked = config_only or tokens is not None or similarity is not None
    config = source / _CONFIG if source.is_dir() else source
    if (source / store.AUDIT).is_file() or not config.is_file() or config.suffix != ".json":
        if asked:
            raise UnusableInput(
                f"{str(source)!r} has no {_CONFIG}: --config-only, --tokens and --similarity need one to work from"
            )
        return _of_audit(source) if (source / store.AUDIT).is_file() else _measured(source)
    fields = read_json(config, str(config))
    found = computed(from_config(fields, tokens=TOKENS if tokens is None else tokens, similarity=similarity))
    weights = source.is_dir() and any(any(source.glob(pattern)) for pattern in _WEIGHTS)
    name = source.resolve().name
    if config_only or not weights:
        return Sketch(found, (), name)
    return _measured(source)._replace(diagram=found, name=name)


def _of_audit(folder: Path) -> Sketch:
    return sketch_of(store.read(folder), folder)


def _measured(checkpoint: Path) -> Sketch:
    """The diagram of a checkpoint with what a short pass over a few texts shows of it; nothing is kept."""
    audit_checkpoint = imported("audit.auditor:audit_checkpoint")  # costs an import of torch
    with tempfile.TemporaryDirectory() as folder:
        audit = audit_checkpoint(checkpoint, _PASS, store=folder, pdf=False)
        if audit.subject.nonfinite:
            raise UnusableInput(
                f"{str(checkpoint)!r} has weights that are not finite, so that nothing can be measured: --config-only "
                "draws its configuration alone"
            )
        return sketch_of(audit, Path(folder) / audit.audit_id)
