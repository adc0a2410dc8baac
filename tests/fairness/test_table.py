"""Predictions from files: every format, and one sentence for each way a file can be wrong."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from auditkit.errors import InputError
from auditkit.fairness.check import check_predictions
from auditkit.fairness.counting.table import read_predictions

TABLE = pa.table(
    {
        "label": ["no", "no", "yes", "yes"] * 50,
        "decision": ["no", "yes", "yes", "yes"] * 50,
        "score": [0.1, 0.6, 0.7, 0.9] * 50,
        "sex ' \" 🙂": ["f", "m"] * 100,
        "unused": range(200),
    }
)
SEX = "sex ' \" 🙂"


def write(folder: Path, name: str, table: pa.Table = TABLE) -> Path:
    path = folder / name
    if ".csv" in name or ".tsv" in name:
        options = pa.csv.WriteOptions(delimiter="\t" if ".tsv" in name else ",")
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table, sink, options)
        content = sink.getvalue().to_pybytes()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    elif name.endswith(".parquet"):
        pa.parquet.write_table(table, path)
    else:
        pa.feather.write_feather(table, path)
    return path


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "p.parquet", "p.arrow", "p.feather"])
def test_every_format_reads_the_same(tmp_path: Path, name: str) -> None:
    predictions = read_predictions(write(tmp_path, name), "label", "decision", "score", [SEX])
    check = check_predictions(predictions)
    assert check.counts.names == ["f", "m"]
    assert check.counts.cells.tolist() == [[[50, 0], [0, 50]], [[0, 50], [0, 50]]]
    assert check.verdict == "fail"


def test_a_threshold_decides(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv")
    check = check_predictions(read_predictions(path, "label", "score", sensitive=[SEX], threshold=0.6))
    assert check.counts.cells.tolist() == [[[50, 0], [0, 50]], [[0, 50], [0, 50]]]
    assert any("positive where column 'score' is at least 0.6" in caveat.text for caveat in check.caveats)
    negative = check_predictions(
        read_predictions(path, "label", "score", sensitive=[SEX], threshold=0.6, positive="no")
    )
    assert negative.counts.cells.sum(axis=0).tolist() == [[0, 100], [50, 50]]


def test_empty_fields_of_a_group_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("y,d,g\n" + "0,0,a\n1,1,\n0,1,b\n" * 40)
    check = check_predictions(read_predictions(path, "y", "d", sensitive=["g"]))
    assert check.counts.names == ["(missing)", "a", "b"]


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_bad_files_get_one_sentence(tmp_path: Path) -> None:
    whole = write(tmp_path, "whole.parquet").read_bytes()
    truncated = tmp_path / "truncated.parquet"
    truncated.write_bytes(whole[: len(whole) // 2])
    good = write(tmp_path, "good.csv")
    ragged = text(tmp_path / "ragged.csv", "label,decision,sex\n0,0,a\n1,1\n")
    empty = text(tmp_path / "empty.csv", "label,decision,sex\n")
    nothing = text(tmp_path / "nothing.csv", "")
    other = text(tmp_path / "notes.docx", "hello")
    for path, columns, sentence in (
        (tmp_path / "none.csv", ("label", "decision", SEX), "there is no such file"),
        (good, ("lable", "decision", SEX), r"there is no column 'lable'; did you mean 'label'\?"),
        (good, ("label", "decision", "sex"), "there is no column 'sex'"),
        (truncated, ("label", "decision", SEX), "cannot be read as PARQUET"),
        (ragged, ("label", "decision", "sex"), "cannot be read as CSV"),
        (empty, ("label", "decision", "sex"), "the table has no rows"),
        (nothing, ("label", "decision", "sex"), "cannot be read as CSV"),
        (other, ("label", "decision", "sex"), "its name must end in .csv"),
        (tmp_path, ("label", "decision", "sex"), "this is not a CSV"),
    ):
        with pytest.raises(InputError, match=sentence) as problem:
            read_predictions(path, columns[0], columns[1], sensitive=[columns[2]])
        assert str(path) in str(problem.value)
        assert "\n" not in str(problem.value)


def test_missing_labels_in_a_file_are_refused(tmp_path: Path) -> None:
    path = text(tmp_path / "p.csv", "y,d,g\nyes,yes,a\n,no,b\nno,no,b\n")
    with pytest.raises(InputError, match=r"column 'y' is missing .* in 1 of 3 rows, first in row 2"):
        check_predictions(read_predictions(path, "y", "d", sensitive=["g"]))


def test_sensitive_columns_must_be_named_once(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv")
    with pytest.raises(InputError, match="name at least one sensitive column"):
        read_predictions(path, "label", "decision")
    with pytest.raises(InputError, match="named twice"):
        read_predictions(path, "label", "decision", sensitive=[SEX, SEX])
