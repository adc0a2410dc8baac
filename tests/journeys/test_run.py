"""The whole flow through the command line, as CI would go through it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from auditkit.evidence.audit import open_audit
from auditkit.evidence.manifest import read_manifest, verify
from tests.journeys.loans import auditkit


def test_an_audit_leaves_evidence_reports_and_a_verdict(finished):
    folder, done = finished
    assert "✓ pass" in done.stdout
    assert str(folder) in done.stdout
    reports = {"report.html", "report.md", "report.json", "junit.xml", "audit.json", "SHA256SUMS"}
    assert reports <= {path.name for path in folder.iterdir()}
    assert ElementTree.parse(folder / "junit.xml").getroot().get("failures") == "0"
    assert json.loads((folder / "report.json").read_text())["verdict"] == "pass"


def test_every_row_went_through_the_model_once(finished):
    entries = open_audit(finished[0]).info["ledger"]
    passes = {entry["split"]: entry for entry in entries if entry["phase"] == "pass"}
    assert {name: entry["forwards_per_row"] for name, entry in passes.items()} == dict.fromkeys(
        ("train", "validation", "test", "elsewhere"), 1.0
    )
    assert {name: entry["rows"] for name, entry in passes.items()} == {
        "train": 1200,
        "validation": 400,
        "test": 600,
        "elsewhere": 200,
    }
    by_phase = {entry["phase"] for entry in entries}
    assert not by_phase & {"performance", "fairness", "activations", "ood"}, "these read the pass and forward nothing"


def test_the_same_command_again_returns_at_once(finished, loans):
    folder, _ = finished
    before = (folder / "audit.json").read_bytes()
    done = auditkit("run", loans / "audit.yaml", "--out", folder.parents[1], cwd=loans)
    assert done.returncode == 0
    assert "nothing changed since audit" in done.stderr
    assert (folder / "audit.json").read_bytes() == before


def test_verify_names_the_file_with_one_flipped_bit(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    assert verify(folder).intact
    names = list(read_manifest(folder))
    assert {"audit.json", "costs.json", "metrics.parquet"} <= set(names)
    for name in names:
        path = folder / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        assert verify(folder).changed == (name,)
        if name == names[-1]:
            told = auditkit("verify", folder, cwd=tmp_path)
            assert (told.returncode, f"changed: {name}" in told.stdout) == (1, True)
        path.write_bytes(whole)
    assert auditkit("verify", folder, cwd=tmp_path).returncode == 0


def kill_when(command: list[str], ready) -> bool:
    """Start a command and kill -9 it as soon as `ready()`; False where it ended before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if ready():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


@pytest.mark.slow
def test_killed_at_five_moments_it_resumes_and_ends_with_the_same_results(finished, loans, tmp_path):
    undisturbed = open_audit(finished[0])
    folder = tmp_path / "loans" / undisturbed.info["audit_id"]
    command = [sys.executable, "-m", "auditkit", "run", str(loans / "audit.yaml"), "--out", str(tmp_path)]
    moments = [
        lambda: (folder / "costs.json").is_file(),
        lambda: (folder / "performance" / "record.json").is_file(),
        lambda: (folder / "fairness").is_dir(),
        lambda: (folder / "activations" / "record.json").is_file(),
        lambda: (folder / "energy" / "record.json").is_file(),
    ]
    for moment in moments:
        assert kill_when(command, moment)
        assert not (folder / "audit.json").exists(), "a half-written audit is never shown as a finished one"
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert "resuming audit" in last.stderr
    assert "performance" in last.stderr.partition("already done")[0]
    resumed = open_audit(folder)
    assert resumed.info["result_digest"] == undisturbed.info["result_digest"]
    assert auditkit("verify", folder, cwd=tmp_path).returncode == 0
    assert not list(Path(folder).rglob("*.part"))


def test_only_some_analyses(loans, tmp_path):
    done = auditkit("run", loans / "audit.yaml", "--out", tmp_path, "--only", "fairness", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert {row["analysis"] for row in report["metrics"]} == {"fairness"}


def test_a_failing_gate_ends_with_exit_code_1(loans, tmp_path):
    spec = (loans / "audit.yaml").read_text().replace("at_least: 0.5", "at_least: 0.999")
    path = loans / "strict.yaml"
    path.write_text(spec)
    done = auditkit("run", path, "--out", tmp_path, "--only", "performance", cwd=tmp_path)
    assert done.returncode == 1
    assert "✕ fail" in done.stdout


def test_a_gate_on_an_unknown_metric_is_missing_and_fails(loans, tmp_path):
    spec = (loans / "audit.yaml").read_text().replace("performance/accuracy:", "performance/acuracy:")
    path = loans / "typo.yaml"
    path.write_text(spec)
    done = auditkit("run", path, "--out", tmp_path, "--only", "performance", cwd=tmp_path)
    assert done.returncode == 1
    assert "– missing" in done.stdout
    assert "accuracy" in done.stdout


def test_reports_can_be_made_again(finished, tmp_path):
    folder, _ = finished
    done = auditkit("report", folder, "--format", "html,markdown", "--out", tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
