"""The wheel carries everything: installed outside the repository, the command line and the dashboard work."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel, and borrows its dependencies from this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    site = next((home / "lib").glob("python*/site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(list(map(str, command)), check=True)
    (site / "borrowed.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return home / "bin"


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(installed / "python"), "-m", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env=environment)


def test_the_wheel_holds_what_is_not_python(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in ("auditkit/demos/adult.yaml", "auditkit/training/recipes/adult.yaml", "dashboard/app.py"):
        assert needed in names
    assert any(name.startswith("auditkit/report/templates/") for name in names)
    assert any(name.startswith("auditkit/report/schema/") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_it_is_the_installed_one_that_runs(installed, tmp_path):
    done = run(installed, "auditkit.errors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    where = subprocess.run(
        [str(installed / "python"), "-c", "import auditkit, dashboard; print(auditkit.__file__, dashboard.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    ).stdout
    assert str(ROOT / "auditkit") not in where
    assert where.count(str(installed.parent)) == 2


def test_fairness_runs_from_the_wheel(installed, tmp_path):
    rows = "\n".join(f"{'fm'[i % 2]},{i // 2 % 2},{(i // 2 + i // 7) % 2}" for i in range(400))
    (tmp_path / "table.csv").write_text("sex,label,decision\n" + rows + "\n")
    arguments = ("--label", "label", "--prediction", "decision", "--sensitive", "sex")
    done = run(installed, "auditkit", "fairness", "table.csv", *arguments, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "four_fifths" in done.stdout


def test_the_dashboard_answers_from_the_wheel(installed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(installed / "python"), "-m", "auditkit", "dashboard", str(tmp_path), "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                    assert answer.read() == b"ok"
                break
            except OSError:
                assert process.poll() is None, "the dashboard ended before it answered"
                time.sleep(0.1)
        else:
            pytest.fail("the dashboard did not answer within 20 seconds")
    finally:
        process.terminate()
        process.wait(timeout=10)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
