"""Counterfactual moves of predicted numbers: planted direct use is found as large as it is, with its direction."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import auditkit as ak
from auditkit.fairness.individual.figures import moves_by_swap
from auditkit.fairness.individual.moves import METRIC, Predict, move_findings
from auditkit.fairness.individual.moves_view import move_sections
from auditkit.fairness.settings import Settings
from auditkit.fairness.view import sections
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing


def people(n: int = 1500) -> pa.Table:
    rng = np.random.default_rng(3)
    pay = rng.normal(40, 10, n)
    return pa.table({
        "sex": rng.choice(["f", "m"], n), "race": rng.choice(["a", "b", "c"], n), "pay": pay,
        "rent": 300 + 12 * pay + rng.normal(0, 50, n),
    })  # fmt: skip


def using(constant: float, slope: float = 0.0) -> Predict:
    def predict(table: pa.Table) -> np.ndarray:
        pay, male = np.array(table["pay"].to_pylist()), np.array(table["sex"].to_pylist()) == "m"
        return 300 + 12 * pay + (constant + slope * pay) * male

    return predict


def test_a_constant_that_one_group_gets_is_the_change_of_everybody() -> None:
    found = move_findings(people(), ["sex", "race"], using(-35.0), Settings(), split="test")
    rows = {(row.attribute, row.group): row for row in found.metrics}
    for group in ("", "f", "m"):
        row = rows["sex", group]
        assert (row.metric, row.split, row.unit) == (METRIC, "test", "")
        assert (row.value, row.lower, row.upper) == pytest.approx((35, 35, 35))
    assert rows["race", ""].value == rows["race", ""].upper == 0.0
    lines = {(line["attribute"], line["value"]): line for line in found.tables["moves"].to_pylist()}
    assert lines["sex", "f"]["change"] == pytest.approx(-35)
    assert lines["sex", "m"]["change"] == pytest.approx(35)
    assert lines["sex", "m"]["p_adjusted"] < 1e-9
    assert lines["race", "a"]["p_adjusted"] == 1.0


def test_intervals_are_those_of_a_paired_t_test() -> None:
    table = people(400)
    found = move_findings(table, ["sex"], using(-40.0, 1.0), Settings())
    pay, sex = np.array(table["pay"].to_pylist()), np.array(table["sex"].to_pylist())
    line = next(line for line in found.tables["moves"].to_pylist() if line["value"] == "f")
    change = -40 + pay[sex == "f"]
    expected = stats.ttest_1samp(change, 0)
    ends = expected.confidence_interval(0.95)
    assert (line["change"], line["lower"], line["upper"]) == pytest.approx((change.mean(), ends.low, ends.high))
    assert line["p_value"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert line["largest"] == pytest.approx(np.abs(change).max())
    whole = next(row for row in found.metrics if not row.group)
    assert whole.value == pytest.approx(np.abs(-40 + pay).mean())


def test_what_float32_leaves_of_no_change_is_none() -> None:
    rng = np.random.default_rng(0)

    def predict(table: pa.Table) -> np.ndarray:
        return np.float32(5e5) + np.float32(0.03) * rng.integers(-1, 2, len(table)).astype(np.float32)

    found = move_findings(people(200), ["sex"], predict, Settings())
    assert found.metrics[0].value == 0.0
    assert found.tables["moves"].to_pylist()[0]["p_adjusted"] == 1.0


def test_a_group_whose_predictions_move_more_is_named() -> None:
    def predict(table: pa.Table) -> np.ndarray:
        pay, sex = (np.array(table[name].to_pylist()) for name in ("pay", "sex"))
        return np.where(np.array(table["race"].to_pylist()) == "a", 20.0, 2.0 + 0.1 * pay) * (sex == "m")

    table = people(900).append_column("group", people(900)["race"])
    by_race = move_findings(table, ["race"], lambda rows: predict(rows) + 0.0, Settings())
    evidence = SimpleNamespace(rows=by_race.metrics, table=lambda name: by_race.tables[name.removeprefix("fairness/")])
    (section,) = move_sections(evidence)
    assert "They move most for a" in section.finding


def test_groups_of_few_rows_are_not_judged() -> None:
    table = people(100).set_column(0, "sex", pa.array(["f"] * 90 + ["m"] * 10))
    rows = {row.group: row for row in move_findings(table, ["sex"], using(5.0), Settings()).metrics}
    assert rows["m"].status == "insufficient"
    assert rows["m"].value is None
    assert rows[""].unjudged == ("m",)


class Direct(nn.Module):
    """300 + 12 pay, and 35 less for men."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(1, 1)
        with torch.no_grad():
            self.dense.weight.fill_(12.0)
            self.dense.bias.fill_(300.0)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.dense(numbers) - 35.0 * (codes[:, :1] == 2)


def test_an_audit_of_a_regression_tells_how_far_predictions_move(tmp_path) -> None:
    columns = TablePreprocessing(
        numeric=(Numeric(name="pay"),), categorical=(Categorical(name="sex", vocabulary=("f", "m")),)
    )
    model = Model(Direct(), ("rent",), columns, device=torch.device("cpu"), task="regression")
    gates = {f"fairness/{METRIC}": {"at_most": 10, "of": ["sex"]}}
    audit = ak.audit(
        model, people(600), label="rent", sensitive=["sex", "race"], analyses=["fairness"], gates=gates, out=tmp_path
    )
    assert audit.verdict == "fail"
    rows = {(row.attribute, row.group): row for row in audit.rows if row.metric == METRIC}
    assert rows["sex", ""].value == pytest.approx(35, rel=1e-5)
    assert rows["race", ""].status == "not applicable"
    found = {section.key: section for section in sections(audit)}
    assert {"regression-gaps", "moves-0", "moves-1"} <= found.keys()
    assert "As m instead of f they are 35.0 lower, beyond chance" in found["moves-0"].finding
    assert "move most for" not in found["moves-0"].finding
    assert "does not read this column" in found["moves-1"].finding


def test_the_figure_fills_what_is_beyond_chance() -> None:
    found = move_findings(people(), ["sex", "race"], using(-35.0), Settings())
    lines = found.tables["moves"].to_pylist()
    (trace,) = moves_by_swap(lines, 0.95).data
    filled = [symbol == "circle" for symbol in trace.marker.symbol]
    assert filled == [line["attribute"] == "sex" for line in lines]
    assert list(trace.x) == [line["change"] for line in lines]
    evidence = SimpleNamespace(rows=found.metrics, table=lambda name: found.tables[name.removeprefix("fairness/")])
    assert [section.table.num_rows for section in move_sections(evidence)] == [2, 6]
