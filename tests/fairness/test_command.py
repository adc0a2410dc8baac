"""`auditkit fairness`: what it prints, keeps and imports, and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from auditkit.cli import main
from auditkit.errors import InputError
from auditkit.evidence.audit import open_audit
from auditkit.evidence.manifest import verify
from auditkit.fairness.command import Asked, read_policy, run_check
from auditkit.fairness.settings import Options


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    sex = ["[bold]f[/bold]", "m"] * 100
    content = pa.table({"y": [0, 0, 1, 1] * 50, "d": [0, 1, 1, 1] * 50, "s": [0.1, 0.6, 0.7, 0.9] * 50, "sex": sex})
    pa.csv.write_csv(content, path)
    return path


def run(table: Path, gates: Path | None = None, score: str | None = None, out: Path | None = None,
        as_json: bool = False, **options: int) -> int:  # fmt: skip
    policy = None if gates is None else read_policy(gates)
    asked = Options(replicates=500, policy=policy, policy_name=str(gates), **options)  # type: ignore[typeddict-item]
    return run_check(table, Asked("y", "d", ["sex"], score=score), asked, out=out, as_json=as_json)


def auditkit(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and output of the command line."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out + said.err


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
        "verdict", "exit_code", "checked", "task", "rows", "classes", "positive", "sensitive", "settings", "gates",
        "caveats", "metrics", "counts", "evidence",
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
    assert [section.key for section in audit.sections()["fairness"]] == [
        "gaps", "rates-0", "worst-group", "any-gap", "four-fifths", "inequality", "sensitivity"
    ]  # fmt: skip
    assert verify(folder).intact
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run(table, out=out)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    run(table, out=out, seed=1)
    assert len(list(out.rglob("audit.json"))) == 2


@pytest.mark.parametrize("score", [None, "s"])
def test_nothing_heavy_is_imported(table: Path, score: str | None) -> None:
    heavy = ("torch", "captum", "lightning", "streamlit", "sklearn", "plotly", "duckdb", "fairlearn")
    if score is None:  # scores ask for more: other thresholds are a linear programme
        heavy = (*heavy, "pandas", "scipy")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from auditkit.fairness.command import Asked, run_check\n"
        f"run_check(Path({str(table)!r}), Asked('y', 'd', ['sex'], score={score!r}), {{'replicates': 200}})\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_counts_are_kept_without_small_cells_and_checked_again(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("--label", "y", "--prediction", "d", "--sensitive", "sex")
    kept = tmp_path / "people.counts.parquet"
    code, said = auditkit(capsys, "fairness", table, *columns, "--counts", kept)
    assert (code, f"counts:   {kept}" in said) == (1, True)
    again, told = auditkit(capsys, "fairness", kept)
    assert again == code
    assert said.startswith(told.rstrip())
    more, hidden = tmp_path / "more.csv", tmp_path / "withheld.counts.parquet"
    cells = {"f": (40, 30, 20, 50), "m": (45, 25, 22, 60), "z": (50, 35, 30, 45), "x": (2, 1, 2, 1)}
    rows = [f"{c // 2},{c % 2},0.5,{g}" for g, counts in cells.items() for c, n in enumerate(counts) for _ in range(n)]
    more.write_text("y,d,s,sex\n" + "\n".join(rows) + "\n")
    auditkit(capsys, "fairness", more, *columns, "--counts", hidden, "--suppress", 10)
    code, told = auditkit(capsys, "fairness", hidden)
    assert (code, "withheld" in told, "✓ pass" in told) == (1, True, False)
    gates = tmp_path / "gates.yaml"
    gates.write_text("demographic_parity_difference: {at_most: 1}\n")
    code, told = auditkit(capsys, "fairness", hidden, "--gates", gates)
    assert (code, "inconclusive" in told) == (1, True)


def test_columns_add_their_parts(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text('sex: {"[bold]f[/bold]": 0.7, m: 0.3}\n')
    code, said = auditkit(
        capsys, "fairness", table, "--label", "y", "--prediction", "d", "--sensitive", "sex", "--json",
        "--features", "s", "--population", shares, "--reference", "sex=m",
    )  # fmt: skip
    found = {row["metric"]: row for row in json.loads(said)["metrics"]}
    assert code == 1
    assert found["smallest_representation_ratio"]["value"] == pytest.approx(0.5 / 0.7)
    assert found["demographic_parity_difference_to_reference"]["value"] == 0.5
    assert "consistency" in found


def test_numbers_are_checked_too(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("mean_prediction_difference: {at_most: 0.05}\n")
    arguments = ("fairness", table, "--task", "regression", "--label", "y", "--prediction", "s", "--sensitive", "sex")
    code, said = auditkit(capsys, *arguments, "--gates", gates)
    assert (code, said.startswith("✕ fail")) == (1, True)
    assert "mean prediction" in said.lower()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prediction", "d", "--sensitive", "sex"), "which column holds the true class? Name it (--label)"),
        (("--label", "y", "--sensitive", "sex"), "which column holds the decisions or scores"),
        (("--label", "y", "--prediction", "d"), "name at least one sensitive column"),
        (("--label", "y", "--prediction", "d", "--sensitive", "sex", "--task", "regresion"), "'regression'"),
        (("--label", "y", "--prediction", "d", "--sensitive", "sex", "--suppress", "9"), "name that file (--counts"),
        (("--label", "y", "--prediction", "d", "--sensitive", "sex", "--reference", "m"), "write attribute=group"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    table: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    code, said = auditkit(capsys, "fairness", table, *arguments)
    assert code == 2
    assert says in said
    assert len(said.strip().splitlines()) == 1
