"""The house: its map is true, its floors hold, and light commands stay light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "datasets", "weasyprint", "altair")


def imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "room", ["audit", "audit.store", "audit.cli.main", "audit.cli.stored", "audit.results"]
)
def test_light_rooms_cost_no_import_of_torch(room):
    """`list`, `show` and the command group start without the heavy libraries."""
    assert imported_by(f"import {room}").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "room", ["audit.report.rendering", "audit.report.redraw", "audit.cli.export", "audit.cli.verify"]
)
def test_reports_see_results_only(room):
    """Neither torch nor transformers is loaded to draw a report."""
    assert imported_by(f"import {room}").isdisjoint({"torch", "transformers", "datasets"})


def test_the_import_check_can_fail():
    """The run room does load torch, so the tests above would notice."""
    assert "torch" in imported_by("import audit.run")


def test_files_stay_small():
    """No source file beyond 300 lines: what grows past it hides two things."""
    files = [path for room in ("audit", "workers") for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 20
    long = {str(path): n for path in files if (n := len(path.read_text("utf-8").splitlines())) > 300}
    assert long == {}


def test_the_readme_maps_every_room():
    """The map in the README names each folder and module of the house, and nothing that is not there."""
    text = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"```text map\n(.*?)```", text, re.DOTALL)
    assert block
    mapped = set(re.findall(r"^\s*([\w./]+)", block[1], re.MULTILINE))
    rooms = {f"{p.name}/" for p in (ROOT / "audit").iterdir() if p.is_dir() and p.name[0] not in "_."}
    modules = {p.name for p in (ROOT / "audit").glob("*.py") if p.name[0] != "_"}
    assert rooms | modules <= mapped
    top = {"audit/", "workers/", "templates/", "tests/", "docker/", "deploy/"}
    assert mapped - rooms - modules - top <= {f"{p.name}" for p in (ROOT / "workers").glob("*.py")}
