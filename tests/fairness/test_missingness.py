"""Missing values by group: planted ones are found, random ones are not."""

import numpy as np
import pyarrow as pa
import pytest

from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.population.missingness import is_missing, missingness_findings
from auditkit.fairness.population.view import missingness_sections
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

FAST = Settings(replicates=999)


def people(rng, n=1000):
    return encode_groups(
        {"sex": pa.array(rng.choice(["f", "m"], n)), "race": pa.array(rng.choice(list("abc"), n))}, "t"
    )


def holes(rng, n, rate):
    return pa.array(np.ones(n), mask=rng.random(n) < rate)


class Evidence:
    def __init__(self, findings):
        self.rows, self.tables = findings.metrics, findings.tables

    def table(self, name):
        return self.tables.get(name.removeprefix("fairness/"))


def test_what_counts_as_missing():
    assert is_missing(pa.array([1, None])).tolist() == [False, True]
    assert is_missing(pa.chunked_array([pa.array(["a", ""]), pa.array([None, " "])])).tolist() == [0, 1, 1, 0]
    assert is_missing(pa.array(["", "b", None]).dictionary_encode()).tolist() == [True, False, True]
    assert is_missing(pa.array([float("nan"), 0.0], pa.float32())).tolist() == [True, False]
    assert is_missing(pa.array([None, None], pa.null())).tolist() == [True, True]


def test_planted_missingness_is_found_and_named():
    rng = np.random.default_rng(0)
    groups = people(rng)
    women = np.array([g[0] == "f" for g in groups.groups])[groups.codes]
    columns = {f"c{i}": holes(rng, 1000, 0.1) for i in range(20)}
    columns["income"] = pa.array(np.ones(1000), mask=rng.random(1000) < np.where(women, 0.3, 0.1))
    found = missingness_findings(groups, pa.table(columns), FAST)
    gap = next(row for row in select(found.metrics, metric="missingness_difference", attribute="sex")
               if row.detail == "income")  # fmt: skip
    assert 0.05 < gap.lower < 0.2 < gap.upper < 0.35
    lines = [line for line in found.tables["missingness_gaps"].to_pylist() if line["attribute"] == "sex"]
    assert [line["column"] for line in lines if line["p_adjusted"] <= 0.05] == ["income"]
    assert all(line["p_adjusted"] >= line["p_value"] for line in lines)
    assert any("than for others, by sex (income)" in caveat.text for caveat in found.caveats)
    verdicts = judge(found.metrics, {"missingness_difference": Gate(at_most=0.05, of=["income"])})
    assert "fail" in {result.verdict for result in verdicts}
    section = next(s for s in missingness_sections(Evidence(found)) if s.title == "Missing values by sex")
    assert "income" in section.finding
    assert "for f" in section.finding
    assert "14 widest" in section.figure.layout.title.text


def test_false_finds_under_random_missingness_are_controlled():
    false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = people(rng, 600)
        columns = {f"c{i}": holes(rng, 600, rate) for i, rate in enumerate((0.005, 0.02, 0.1, 0.3, 0.5))}
        found = missingness_findings(groups, pa.table(columns), FAST)
        false += any(row.value <= 0.05 for row in select(found.metrics, metric="missingness_p_value_adjusted"))
    assert false <= 6


def test_label_and_complete_columns_stand_in_the_findings_and_attributes_do_not():
    rng = np.random.default_rng(1)
    groups = people(rng)
    table = pa.table({"label": holes(rng, 1000, 0.2), "age": np.ones(1000), "sex": np.ones(1000)})
    found = missingness_findings(groups, table, FAST)
    assert {row.detail for row in found.metrics} == {"label", "age"}
    whole = select(found.metrics, metric="missingness_difference", attribute="sex", detail="age")[0]
    assert whole.value == 0
    assert whole.upper < 0.02
    assert judge([whole], {"missingness_difference": Gate(at_most=0.05)})[0].verdict == "pass"


def test_small_groups_are_named_and_never_pass():
    groups = encode_groups({"sex": pa.array(["f"] * 500 + ["m"] * 500 + ["d"] * 5)}, "t")
    found = missingness_findings(groups, pa.table({"x": np.ones(1005)}), FAST)
    row = select(found.metrics, metric="missingness_difference")[0]
    assert row.unjudged == ("d",)
    assert judge([row], {"missingness_difference": Gate(at_most=0.5)})[0].verdict == "inconclusive"


def test_other_lengths_are_refused():
    with pytest.raises(InputError, match="3 rows of columns for 1,000 rows"):
        missingness_findings(people(np.random.default_rng(0)), pa.table({"x": [1, 2, 3]}), FAST)
