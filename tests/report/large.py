"""An audit as large as a model of 32 x 32 heads gives: what the budgets of both reports are held against."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pypdf

from audit.exhibits import MOST_HEADS
from audit.identity import digest_of_file
from audit.report.rendering import page_for_print
from audit.results import Audit, Exhibit, Finding
from audit.results.thumbnails import SIDE, UNSEEN, Sheet, Thumbnails
from audit.store import write_audit
from audit.theory.configuration import from_config
from audit.theory.diagram import diagram
from tests.report.example import example_audit, pattern_bytes
from tests.report.test_people import audit_with, axis, head
from tests.report.test_redundancy import curve, step, tried
from tests.theory.configurations import LLAMA

FLAGGED = 60  # heads
PATTERNS = 24


class Cost(NamedTuple):
    """What printing took."""

    seconds: float  # of one core
    mebibytes: float  # peak of the child that sets the pages
    pages: int


def cost_of_print(audit: Audit, folder: Path, *, timestamp: int) -> Cost:
    """Set the PDF in a fresh process, which tells its own peak: getrusage would tell that of the one that forked it."""
    start = time.process_time()
    page = page_for_print(audit, folder, timestamp=timestamp)
    composing = time.process_time() - start
    (folder / "page.html").write_text(page, encoding="utf-8")
    code = (
        "import pathlib, sys, time; from audit.report.press import press;"
        "whole, audit, out = map(pathlib.Path, sys.argv[1:]);"
        "out.write_bytes(press(whole.read_text('utf-8'), {'audit.json': audit.read_bytes()}, timestamp=0));"
        "peak = pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0];"
        "print(peak, time.process_time())"
    )
    paths = [str(folder / name) for name in ("page.html", "audit.json", "report.pdf")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, check=True)
    peak, setting = done.stdout.split()
    pages = len(pypdf.PdfReader(folder / "report.pdf").pages)
    return Cost(composing + float(setting), int(peak) / 1024, pages)


def large_audit(folder: Path, *, layers: int = 32, heads: int = 32) -> Audit:
    """Sixty flagged heads, thirty metrics of heads and fourteen of layers on two probes, nine axes, all exhibits."""
    chance = random.Random(layers * heads)
    audit = example_audit(layers=layers, heads=heads, probes=("prose", "code"))
    findings = (*tried(audit).findings, *_flagged(audit, layers, heads, chance))
    (folder / "exhibits").mkdir(parents=True, exist_ok=True)
    exhibits = [_pattern(finding, folder) for finding in findings[:PATTERNS]]
    exhibits += [_similarity(layers, heads, folder, chance), _diagram(layers, folder)]
    exhibits += [_thumbnails(layers, heads, folder, chance)] if layers * heads <= MOST_HEADS else []
    found = tuple(step(count, effect=0.01 * count, harmless=count < 4) for count in range(1, 11))
    large = replace(
        audit,
        findings=findings,
        exhibits=tuple(exhibits),
        ablation=tried(audit).ablation,
        measurements={**audit.measurements, **{f"{n}_again": m for n, m in audit.measurements.items()}},
        methods={
            **audit.methods,
            **{f"{n}_again": replace(m, title=f"{m.title}, again") for n, m in audit.methods.items()},
        },
        drop_curves=(curve(*found, harmless=3), replace(curve(*found, harmless=3), kind="attention")),
        skew=audit_with(*(_axis(place, layers) for place in range(9))).skew,
        trainability=None,
    )
    write_audit(large, folder)
    return large


def _flagged(audit: Audit, layers: int, heads: int, chance: random.Random) -> tuple[Finding, ...]:
    places = chance.sample(
        [(layer, head) for layer in range(layers) for head in range(heads)], k=min(FLAGGED, layers * heads)
    )
    return tuple(
        replace(
            audit.findings[0],
            id=f"entropy_collapse-l{layer:03d}-h{number:03d}-x",
            layer=layer,
            head=number,
            severity=("watch", "info")[place % 2],
        )
        for place, (layer, number) in enumerate(places)
    )


def _axis(place: int, layers: int):
    """Four axes on which heads stand out, five without."""
    name = f"axis{place}"
    by_layer = tuple(layer % 5 for layer in range(layers))
    if place < 4:
        return axis(name=name, title=f"Axis {place}", found=12, heads=(head(),) * 12, by_layer=by_layer)
    return axis(name=name, title=f"Axis {place}", found=0, verdict="none found", by_layer=(0,) * layers)


def _pattern(finding: Finding, folder: Path) -> Exhibit:
    return _exhibit(finding.id, "pattern", pattern_bytes(finding, size=64), folder, finding=finding.id)


def _similarity(layers: int, heads: int, folder: Path, chance: random.Random) -> Exhibit:
    def square(size):
        return [[1.0 if i == j else round(chance.random(), 3) for j in range(size)] for i in range(size)]

    content = {
        "probe": "prose",
        "samples": 8,
        "measure": "CKA of head outputs",
        "linked": 0.9,
        "layers": [{"layer": n, "kv_heads": heads, "matrix": square(heads)} for n in range(layers)],
        "between": square(layers),
        "clusters": [[[n, 0], [n, 1], [(n + 1) % layers, 2]] for n in range(layers)] if heads > 2 else [],
    }
    return _exhibit("similarity", "similarity", msgspec.json.encode(content), folder)


def _thumbnails(layers: int, heads: int, folder: Path, chance: random.Random) -> Exhibit:
    """Causal noise, which packs worse than any pattern."""

    def noise() -> bytes:
        return b"".join(chance.randbytes(row + 1).ljust(SIDE, bytes([UNSEEN])) for row in range(SIDE))

    sheets = tuple(
        Sheet(layer=n, heads=heads, rows=SIDE, columns=SIDE, shades=b"".join(noise() for _ in range(heads)))
        for n in range(layers)
    )
    content = msgspec.json.encode(Thumbnails(probe="prose", tokens=64, sheets=sheets))
    return _exhibit("thumbnails", "thumbnails", content, folder)


def _diagram(layers: int, folder: Path) -> Exhibit:
    found = diagram(from_config(LLAMA | {"num_hidden_layers": layers}))
    return _exhibit("diagram", "diagram", msgspec.json.encode(found), folder)


def _exhibit(name: str, kind: str, data: bytes, folder: Path, finding: str | None = None) -> Exhibit:
    path = folder / "exhibits" / f"{name}.json"
    path.write_bytes(data)
    return Exhibit(
        id=name, kind=kind, finding=finding, file=f"exhibits/{path.name}", sha256=digest_of_file(path)
    )
