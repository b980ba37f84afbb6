"""The wheel works outside the checkout: templates and probe data are inside it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout without touching the network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_code_templates_and_probes_and_nothing_else(wheel):
    """No tests, no caches, no inputs."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} - {"audit", "workers"} == {
        name.split("/")[0] for name in names if ".dist-info" in name
    }
    assert any(name.startswith("audit/_templates/") for name in names)
    assert any(name.startswith("audit/probes/data/") for name in names)
    assert "audit/policies/default.toml" in names


def test_an_installed_wheel_audits_from_another_folder(wheel, bert_tiny, tmp_path):
    """Unpacked beside the existing dependencies and run from elsewhere, it audits and reports."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import sys; sys.path = [p for p in sys.path if '__editable__' not in p]; "
        f"sys.meta_path = [f for f in sys.meta_path if '__editable__' not in repr(f)]; sys.path.insert(0, {str(site)!r}); "
        f"import audit; assert audit.__file__.startswith({str(site)!r}), audit.__file__; "
        "from workers.cli import main; main()"
    )
    words = ["run", str(bert_tiny), "-o", "out", "--depth", "quick", "--samples", "16", "--max-length", "32"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("out/*/report.pdf"))) == 1
