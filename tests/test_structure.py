"""The house: who may import whom, and what the quick commands must not import."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "captum", "lightning", "streamlit", "pandas", "sklearn"}


def imported_by(code: str) -> set[str]:
    """Top-level modules in memory after running code in a fresh interpreter."""
    script = f"{code}\nimport sys; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_order_of_the_design_holds():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import auditkit",
        "import auditkit.cli",
        "from auditkit import check_fairness",
        "from auditkit import open_audit",
        "import auditkit.fairness.analysis, auditkit.fairness.view",
    ],
)
def test_the_quick_paths_stay_light(code):
    assert not imported_by(code) & HEAVY


def test_views_import_no_torch():
    code = "from importlib.metadata import entry_points\nfor e in entry_points(group='auditkit.views'): e.load()"
    assert not imported_by(code) & {"torch", "captum", "lightning", "streamlit"}


def test_no_discipline_imports_another():
    disciplines = ("performance", "fairness", "attribution", "activations", "ood", "energy")
    for name in disciplines:
        for path in (ROOT / "auditkit" / name).glob("*.py"):
            text = path.read_text()
            for other in disciplines:
                assert other == name or f"auditkit.{other}" not in text, f"{path} imports {other}"


def test_no_room_has_a_name_that_says_nothing():
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "stuff"}
    assert not [path for path in (ROOT / "auditkit").rglob("*.py") if path.stem in vague]
