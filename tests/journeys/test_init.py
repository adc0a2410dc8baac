"""`auditkit init` writes a file that runs as it is, and shows its guesses as guesses."""

import pyarrow.parquet as pq
import pytest

from auditkit.cli import main
from tests.journeys.loans import applicants, auditkit


def test_the_file_it_writes_runs_unedited(loans, tmp_path):
    done = auditkit("init", "--model", loans / "model", "--data", loans / "test.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "label: repaid" in done.stdout
    assert "sensitive: sex  (a guess, by name)" in done.stdout
    ran = auditkit("run", "audit.yaml", "--out", "reports", "--only", "performance,fairness", cwd=tmp_path)
    assert ran.returncode in (0, 1), ran.stderr
    assert "fairness/demographic_parity_ratio" in ran.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.rename_columns({"repaid": "outcome"}), None),
        (lambda table: table.drop_columns(["repaid"]), "cannot tell which column is the label"),
    ],
)
def test_a_label_of_another_name_is_guessed_by_its_classes(loans, tmp_path, capsys, change, says):
    pq.write_table(change(applicants(50, 3)), tmp_path / "table.parquet")
    arguments = ["--model", str(loans / "model"), "--data", str(tmp_path / "table.parquet")]
    with pytest.raises(SystemExit) as stopped:
        main(["init", *arguments, "--out", str(tmp_path / "audit.yaml")])
    said = capsys.readouterr()
    if says is None:
        assert stopped.value.code == 0
        assert "label: outcome  (a guess" in said.out
    else:
        assert stopped.value.code == 2
        assert says in said.err
        assert not (tmp_path / "audit.yaml").exists()


def test_it_overwrites_nothing(loans, tmp_path, capsys):
    (tmp_path / "audit.yaml").write_text("mine")
    arguments = ["--model", str(loans / "model"), "--data", str(loans / "test.parquet")]
    with pytest.raises(SystemExit) as stopped:
        main(["init", *arguments, "--out", str(tmp_path / "audit.yaml")])
    assert stopped.value.code == 2
    assert "already there" in capsys.readouterr().err
    assert (tmp_path / "audit.yaml").read_text() == "mine"
