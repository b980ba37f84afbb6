"""`attnaudit bench`: what an audit costs beside a plain forward pass, and beside what users run instead."""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from audit.benchmark.comparison import LENGTHS, NAMES, Comparison, compare, installed
from audit.errors import AuditError, UnusableInput


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--length",
    "lengths",
    type=click.IntRange(16, 16_384),
    multiple=True,
    default=LENGTHS,
    show_default=True,
    help="Tokens per sample; repeatable.",
)
@click.option(
    "--case",
    "cases",
    type=click.Choice(list(NAMES)),
    multiple=True,
    help="Only these; repeatable. The plain pass is always run. plain_onednn: with the linear maps and the heap of an"
    " audit; eager: output_attentions and entropies, up to 2,048 tokens; lens_patterns, lens: TransformerLens'"
    " run_with_cache, where it is installed, up to 2,048 and 1,024; eager_svdvals, eager_svd: and each pattern's singular"
    " values, or its full SVD, up to 1,024.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 99),
    default=3,
    show_default=True,
    help="Processes of each case, in turns; the median counts. Decomposing every pattern is tried once.",
)
@click.option(
    "--samples",
    type=click.IntRange(2, 4096),
    help="Samples of each length; default: as many as make 4,096 tokens. Every pattern is decomposed of the first batch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def bench(
    checkpoint: Path,
    *,
    lengths: tuple[int, ...],
    cases: tuple[str, ...],
    rounds: int,
    samples: int | None,
    as_json: bool,
) -> int:
    """Compare ways to look at CHECKPOINT's attention, each in processes of its own, on the same random tokens.

    Times and memory are ratios to a plain forward pass in the same run; memory is what is needed beyond the weights.
    What others run may fail; what it did until then stays. Exit code 2 or 5 where that was named by --case, else 0.
    """
    if not checkpoint.exists():
        raise UnusableInput(f"{str(checkpoint)!r} does not exist: give a model folder or a GGUF file")
    lost: list[AuditError] = []

    def left_out(error: AuditError) -> None:
        lost.append(error)
        click.echo(f"attnaudit: {error}: not tried again", err=True)

    wanted = tuple(name for name in _runnable(cases) if name == "plain" or not cases or name in cases)
    timings = []
    for timing in compare(
        checkpoint, lengths=lengths, cases=wanted, rounds=rounds, count=samples, failed=left_out
    ):
        timings.append(timing)
        click.echo(f"{timing.case} {timing.tokens} tokens: {timing.seconds:.2f} s", err=True)
    found = Comparison.of_rounds(timings)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(_plain(found, wanted)) + b"\n")
    else:
        Console().print(table(found, sorted(lengths)))
    return max((error.exit_code for error in lost), default=0) if cases else 0


def _runnable(cases: tuple[str, ...]) -> tuple[str, ...]:
    """All that are installed; UnusableInput where one of `cases` is not."""
    here = installed()
    missing = "TransformerLens is not installed (pip install transformer-lens)"
    if absent := [case for case in cases if case not in here]:
        raise UnusableInput(f"--case {absent[0]}: {missing}")
    if not cases and len(here) < len(NAMES):
        click.echo(f"{missing}: it is left out", err=True)
    return here


def table(found: Comparison, lengths: list[int]) -> Table:
    """A row per case: time and memory over the plain pass at each length, and how both grow with it."""
    made = Table(title="time / memory over a plain forward pass")
    made.add_column("case")
    for tokens in lengths:
        made.add_column(f"T={tokens}", justify="right")
    made.add_column("grows as T^", justify="right")
    for case, name in NAMES.items():
        ratios = [found.ratio(case, tokens) for tokens in lengths]
        if any(ratios):
            growth = found.growth(case)
            cells = [f"{r[0]:.2f} / {r[1]:.2f}" if r else "-" for r in ratios]
            made.add_row(name, *cells, f"{_number(growth.seconds)} / {_number(growth.bytes)}")
    return made


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _plain(found: Comparison, cases: tuple[str, ...]) -> dict[str, object]:
    return {
        "timings": [timing._asdict() for timing in found.timings],
        "growth": {case: found.growth(case)._asdict() for case in cases},
    }
