"""`attnaudit prune`: a smaller checkpoint without what an audit confirmed redundant, before and after."""

import re
import shlex
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from audit.cli.bars import progress_on
from audit.cli.run import interrupt
from audit.interventions.toll import Toll
from audit.outcomes import VERDICT_CODES
from audit.pruner import Smaller, Source, prune_audited
from audit.report.wording import estimate, number, size

_LONGEST = 1_000  # layers a range may name


class _Layers(click.ParamType[tuple[int, ...]]):
    """`3`, `3,5` or `12-14`."""

    name = "layers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):  # the default
            return value
        found: list[int] = []
        for word in str(value).split(","):
            match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", word.strip())
            last = int(match[2] or match[1]) if match else -1
            if match is None or not int(match[1]) <= last < int(match[1]) + _LONGEST:
                self.fail(
                    f"{word!r} names no layers: write 3, 3,5 or 12-14, at most {_LONGEST:,} of them",
                    param,
                    ctx,
                )
            found.extend(range(int(match[1]), last + 1))
        return tuple(found)


class _Heads(click.ParamType[tuple[tuple[int, int], ...]]):
    """`5:3` is head 3 of layer 5; several with commas."""

    name = "heads"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, int], ...]:
        if isinstance(value, tuple):  # the default
            return value
        found = []
        for word in str(value).split(","):
            match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", word.strip())
            if match is None:
                self.fail(f"{word!r} is no head: write LAYER:HEAD, such as 5:3", param, ctx)
            found.append((int(match[1]), int(match[2])))
        return tuple(found)


@click.command()
@click.argument("audit_dir", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    help="The new checkpoint: a folder that does not exist.",
)
@click.option(
    "--layers", type=_Layers(), default=(), help="Leave out the blocks of these layers: 3,5 or 12-14."
)
@click.option("--heads", type=_Heads(), default=(), help="Silence these heads: LAYER:HEAD, such as 5:3,5:4.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Where the audited checkpoint is now.")
@click.option("--adapter", type=click.Path(path_type=Path), help="The LoRA adapter it was audited with.")
@click.option(
    "--policy", metavar="FILE", help="Judge the new checkpoint by; default: the audit's shipped one."
)
@click.option("--allow-pickle", is_flag=True, help="Read .bin weights (with weights_only=True).")
def prune(
    audit_dir: Path,
    *,
    directory: Path,
    layers: tuple[int, ...],
    heads: tuple[tuple[int, int], ...],
    checkpoint: Path | None,
    adapter: Path | None,
    policy: str | None,
    allow_pickle: bool,
) -> int:
    """Write a smaller checkpoint without what the audit in AUDIT_DIR confirmed redundant, and audit it again.

    Blocks are left out; heads and attention sublayers are silenced, for no architecture can miss them in one layer
    only. With --layers or --heads exactly these go, confirmed or not. Exit codes as those of `run`.
    """
    signal.signal(signal.SIGTERM, interrupt)
    with progress_on(sys.stderr) as progress:
        made = prune_audited(
            audit_dir,
            directory,
            source=Source(checkpoint=checkpoint, adapter=adapter, allow_pickle=allow_pickle),
            layers=layers,
            heads=heads,
            policy=policy,
            progress=progress,
            command=shlex.join(["attnaudit", *sys.argv[1:]]),
        )
    click.echo("\n".join(_lines(made)))
    return VERDICT_CODES[made.after.verdict]


def _lines(made: Smaller) -> list[str]:
    """Before and after, one fact a line."""
    choice, before, after = made.choice, made.before, made.after
    lines = [f"written   {made.pruned.directory}   ({made.pruned.dtype}, loads with from_pretrained)"]
    lines += [f"left out  block of layer {layer}: {why}" for layer, why in choice.blocks.items()]
    lines += [f"silenced  attention of layer {layer}: {why}" for layer, why in choice.attention.items()]
    lines += [f"silenced  head {head} of layer {layer}: {why}" for (layer, head), why in choice.heads.items()]
    if choice.heads or choice.attention:
        lines.append(
            f"          silent, not removed: {before.subject.model_type} has as many heads in every layer"
        )
    lines += [f"kept      {why}" for why in choice.kept]
    lines.append(_sizes(made))
    lines += _costs(made.toll)
    lines.append(f"findings  {_findings(before.findings)} before, {_findings(after.findings)} after")
    lines.append(f"verdict   {before.verdict} before, {after.verdict} after")
    lines += [f"note      {made.remark}"] if made.remark else []
    return [*lines, *(f"report    {path}" for path in sorted(made.folder.glob("report.*")))]


def _sizes(made: Smaller) -> str:
    before, after = made.before.subject, made.after.subject
    files = [sum(file.bytes for file in subject.files) for subject in (before, after)]
    share = 1 - after.parameters / before.parameters
    quantised = any(file.name.endswith(".gguf") for file in before.files)
    note = f" (quantised before, {made.pruned.dtype} after)" if quantised else ""
    return (
        f"size      {before.blocks} blocks before, {after.blocks} after; parameters {before.parameters:,} before, "
        f"{after.parameters:,} after (-{share:.1%}); files {size(files[0])} before, {size(files[1])} after{note}"
    )


def _costs(toll: Toll | str) -> list[str]:
    if isinstance(toll, str):
        return [f"cost      not measured: {toll}"]
    if toll.effect is None or toll.margin is None:
        return [f"cost      {toll.measure}: not finite any more"]
    inside = toll.high is not None and toll.high < toll.margin
    levels = (
        ""
        if toll.after is None
        else f" {number(toll.level or 0.0, 4)} before, {number(toll.after, 4)} after,"
    )
    change = f"change {estimate(toll.effect, toll.low, toll.high)} {toll.unit} on {toll.n} documents"
    margin = f"{'inside' if inside else 'NOT inside'} the margin of {number(toll.margin)}"
    lines = [f"cost      {toll.measure}:{levels} {change}; {margin}"]
    saved = toll.saved
    if saved.parameters:
        shares = [("FLOPs", saved.flops_share), ("key/value cache", saved.cache_share)]
        words = ", ".join(f"{name} -{share:.1%}" for name, share in shares if share is not None)
        lines.append(f"saves     per token: {words}")
    return lines


def _findings(findings: Any) -> str:
    rules = Counter(finding.rule for finding in findings)
    return ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items())) or "none"
