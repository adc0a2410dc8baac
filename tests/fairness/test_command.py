"""`auditkit fairness`: what it prints, keeps and imports, and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from auditkit.errors import InputError
from auditkit.evidence.audit import open_audit
from auditkit.evidence.manifest import verify
from auditkit.fairness.command import check_table, read_policy


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    sex = ["[bold]f[/bold]", "m"] * 100
    content = pa.table({"y": [0, 0, 1, 1] * 50, "d": [0, 1, 1, 1] * 50, "s": [0.1, 0.6, 0.7, 0.9] * 50, "sex": sex})
    pa.csv.write_csv(content, path)
    return path


def run(table: Path, **options: object) -> int:
    return check_table(table, label="y", prediction="d", sensitive=["sex"], replicates=500, **options)  # type: ignore[arg-type]


def test_it_says_the_verdict_first(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(table) == 1
    out = capsys.readouterr().out
    assert out.startswith("✕ fail")
    assert "below four-fifths by sex" in " ".join(out.split())
    assert "[bold]f[/bold]" in out


def test_gates_decide_the_exit_code(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates:\n  demographic_parity_difference: {at_most: 0.9}\n")
    assert run(table, gates=gates) == 0
    assert capsys.readouterr().out.startswith("✓ pass")
    gates.write_text("equal_opportunity_ratio: {at_least: 0.5}\n")
    assert read_policy(gates) == {"equal_opportunity_ratio": {"at_least": 0.5}}
    gates.write_text("equal_opportunity_ratio: {at_lest: 0.5}\n")
    with pytest.raises(InputError, match=r"gates.yaml: .*did you mean 'at_least'"):
        run(table, gates=gates)


def test_json_has_every_number_and_no_nan(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(table, as_json=True, score="s", minimum_group=60) == 1
    content = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert set(content) == {
        "verdict", "exit_code", "checked", "rows", "classes", "positive", "sensitive", "settings", "gates", "caveats",
        "metrics", "counts", "evidence",
    }  # fmt: skip
    assert (content["verdict"], content["exit_code"], content["rows"]) == ("fail", 1, 200)
    assert content["counts"][0] == {"group": "[bold]f[/bold]", "tn": 50, "fp": 0, "fn": 0, "tp": 50}
    insufficient = [row for row in content["metrics"] if row["status"] == "insufficient"]
    assert insufficient
    assert all(row["value"] is None and row["reason"] for row in insufficient)


def test_evidence_is_kept_and_can_be_verified(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "reports"
    assert run(table, out=out) == 1
    assert "evidence: " in capsys.readouterr().out
    (folder,) = [path.parent for path in out.rglob("audit.json")]
    audit = open_audit(folder)
    assert audit.verdict == "fail"
    assert [result.gate for result in audit.gates] == ["four_fifths"]
    assert [section.key for section in audit.sections()["fairness"]] == ["gaps", "rates-0", "any-gap", "four-fifths"]
    assert verify(folder).intact
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run(table, out=out)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    run(table, out=out, seed=1)
    assert len(list(out.rglob("audit.json"))) == 2


def test_nothing_heavy_is_imported(table: Path) -> None:
    heavy = ("torch", "captum", "lightning", "streamlit", "pandas", "scipy", "sklearn", "plotly", "duckdb", "fairlearn")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from auditkit.fairness.command import check_table\n"
        f"check_table(Path({str(table)!r}), label='y', prediction='d', sensitive=['sex'], score='s', replicates=200)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
