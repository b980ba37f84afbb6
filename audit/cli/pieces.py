"""`attnaudit metrics`, `rules` and `probes`: what can be measured, judged and fed."""

from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table

from audit import catalog
from audit.probes.published import FILES

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


@click.command()
@_json
def metrics(*, as_json: bool) -> int:
    """List what can be measured: name, unit, one line, reference."""
    rows = [(m.name, m.axes, m.unit, m.summary, m.reference) for m in catalog.metrics().values()]
    return _listed(("name", "per", "unit", "summary", "reference"), rows, as_json=as_json)


@click.command()
@_json
def rules(*, as_json: bool) -> int:
    """List what can be judged: name, one line, when it flags."""
    rows = [(r.name, r.summary, r.criterion, "; ".join(r.references)) for r in catalog.rules().values()]
    return _listed(("name", "summary", "criterion", "reference"), rows, as_json=as_json)


@click.command()
@_json
def probes(*, as_json: bool) -> int:
    """List what can be fed: name, one line, size, licence; published data sets by their kind."""
    rows = [
        (p.name, p.summary, str(len(p.documents())), ", ".join(p.depths) or "on request", p.licence)
        for p in catalog.probes().values()
    ]
    rows += [
        (
            p.name,
            p.summary,
            str(sum(len(t) for axis in p.axes() for t in axis.terms)),
            ", ".join(p.depths),
            p.licence,
        )
        for p in catalog.pairs().values()
    ]
    rows += [
        (
            f"{kind}:FILE",
            f"scores of the published data set, from your copy: {files}",
            "yours",
            "on request",
            "of the data set",
        )
        for kind, files in FILES.items()
    ]
    return _listed(
        ("name", "summary", "documents or terms", "fed at depth", "licence"), rows, as_json=as_json
    )


def _listed(columns: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool) -> int:
    if as_json:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        click.echo(msgspec.json.format(msgspec.json.encode(named), indent=2))
        return 0
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return 0
