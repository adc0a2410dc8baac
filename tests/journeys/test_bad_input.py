"""Wrong input: exit code 2, one sentence, nothing written."""

import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditkit.cli import main
from tests.journeys.loans import AUDIT, applicants


def replaced(table: pa.Table, name: str, values: list) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def with_test(change):
    def make(folder):
        pq.write_table(change(applicants(200, 9)), folder / "test.parquet")

    return make


def truncate(name):
    def make(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-200])

    return make


def spec(old, new):
    def make(folder):
        (folder / "audit.yaml").write_text(AUDIT.replace(old, new))

    return make


def pickled(folder):
    (folder / "model.pt").write_bytes(b"not even a pickle")
    spec("model: model", "model: model.pt")(folder)


CASES = {
    "a missing file": (spec("test: test.parquet", "test: tset.parquet"), "tset.parquet: there is no such file"),
    "an unknown sensitive column": (spec("[sex]", "[sx]"), "no sensitive column 'sx'; did you mean 'sex'"),
    "an unknown label": (spec("label: repaid", "label: repaidd"), "did you mean 'repaid'"),
    "a label with one class": (
        with_test(lambda t: replaced(t, "repaid", ["yes"] * len(t))),
        "label 'repaid' has one class only",
    ),
    "a positive class that is none": (spec('positive: "yes"', "positive: maybe"), "positive class 'maybe'"),
    "missing labels": (
        with_test(lambda t: replaced(t, "repaid", [None, *t["repaid"].to_pylist()[1:]])),
        "labels in 'repaid' are missing",
    ),
    "a sensitive column with one value": (
        with_test(lambda t: replaced(t, "sex", ["Female"] * len(t))),
        "sensitive column 'sex' has one value only",
    ),
    "labels the model has no output for": (
        with_test(lambda t: replaced(t, "repaid", ["perhaps", *t["repaid"].to_pylist()[1:]])),
        "for which the model has no output",
    ),
    "an empty split": (with_test(lambda t: t.slice(0, 0)), "is empty"),
    "a truncated table": (truncate("test.parquet"), "test.parquet"),
    "truncated weights": (truncate("model/model.safetensors"), "truncated or damaged"),
    "a typo in a key": (spec("attribution:", "atribution:"), "unknown key 'atribution'; did you mean 'attribution'"),
    "a pickled checkpoint": (pickled, "could run any code when it is opened"),
    "an unknown country": (spec("energy: {", "energy: {country: DE, "), "DE"),
    "a column the model needs": (with_test(lambda t: t.drop_columns(["income"])), "no column 'income'"),
    "an unknown device": (spec("name: loans", "name: loans\ndevice: tpu9"), "device"),
    "an unknown analysis": (spec("name: loans", "name: loans\nanalyses: [fairnes]"), "did you mean 'fairness'"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_in_one_sentence_and_nothing_is_written(case, loans, tmp_path, capsys):
    make, says = CASES[case]
    folder, out = tmp_path / "here", tmp_path / "reports"
    shutil.copytree(loans, folder)
    make(folder)
    with pytest.raises(SystemExit) as stopped:
        main(["run", str(folder / "audit.yaml"), "--out", str(out)])
    said = capsys.readouterr()
    assert stopped.value.code == 2, said.err
    assert says in said.err
    assert "Traceback" not in said.err
    assert len(re.findall(r"^auditkit: ", said.err, re.MULTILINE)) == 1
    assert not out.exists()
    assert said.out == ""
