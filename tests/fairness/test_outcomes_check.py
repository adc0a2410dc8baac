"""Checks of classes, sets of labels, numbers and rankings, from call to verdict, evidence and report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import auditkit as ak
from auditkit.evidence.metrics import select
from auditkit.fairness.record import keep
from auditkit.report import write_reports

RNG = np.random.default_rng(0)
N = 1500
SEX = RNG.choice(["f", "m"], N)
CLASS = RNG.choice(["a", "b", "c"], N)
GUESS = np.where(RNG.random(N) < np.where(SEX == "f", 0.6, 0.9), CLASS, "c")
NUMBER = RNG.normal(50, 10, N)
TAGS = pd.DataFrame({name: RNG.integers(0, 2, N) for name in ("news", "sport")})

TASKS: dict[str, dict[str, Any]] = {
    "multiclass": {"y_true": CLASS, "y_pred": GUESS, "policy": {"accuracy_difference": {"at_most": 0.1}}},
    "multilabel": {
        "y_true": TAGS,
        "y_pred": TAGS.where(RNG.random(TAGS.shape) < np.where(SEX == "f", 0.6, 0.95)[:, None], 1 - TAGS),
        "policy": {"subset_accuracy_difference": {"at_most": 0.1}},
    },
    "regression": {
        "y_true": NUMBER,
        "y_pred": NUMBER + RNG.normal(0, 1, N) - 3 * (SEX == "f"),
        "policy": {"mean_error_difference": {"at_most": 1}},
    },
    "ranking": {
        "y_true": None,
        "y_pred": NUMBER - 12 * (SEX == "f"),
        "policy": {"exposure_ratio": {"at_least": 0.95}},
    },
}


@pytest.mark.parametrize("task", TASKS)
def test_a_planted_difference_fails_and_is_told_in_a_report(task: str, tmp_path: Path) -> None:
    check = ak.check_outcomes(task=task, sensitive_features={"sex": SEX}, **TASKS[task])
    assert (check.verdict, check.exit_code, check.size) == ("fail", 1, N)
    folder = keep(check, tmp_path)
    audit = ak.open_audit(folder)
    assert audit.verdict == "fail"
    assert [section.title for section in audit.sections()["fairness"]] == [s.title for s in check.sections()]
    assert len(check.sections()) > 0
    write_reports(audit, folder, ["html", "markdown"])
    assert check.sections()[0].finding.split("<")[0][:20] in (folder / "report.md").read_text().replace("\\", "")


@pytest.mark.parametrize("task", TASKS)
def test_without_a_policy_nothing_passes(task: str) -> None:
    given = {name: value for name, value in TASKS[task].items() if name != "policy"}
    assert ak.check_outcomes(task=task, sensitive_features={"sex": SEX}, **given).verdict == "missing"


def test_a_group_too_small_keeps_a_gate_from_passing() -> None:
    sex = np.where(np.arange(N) < 5, "x", SEX)
    check = ak.check_outcomes(
        NUMBER, NUMBER + RNG.normal(0, 1, N), task="regression", sensitive_features={"sex": sex},
        policy={"mean_error_difference": {"at_most": 1}},
    )  # fmt: skip
    assert check.verdict == "inconclusive"
    assert "x" in select(check.metrics, metric="mean_error_difference")[0].unjudged


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "regresion"}, "did you mean 'regression'"),
        ({"y_pred": NUMBER[:10]}, "y_pred has 10 rows"),
        ({"y_pred": np.where(np.arange(N) == 3, np.nan, NUMBER)}, "y_pred is missing"),
        ({"query": SEX}, "a query has no meaning"),
        ({"sensitive_features": {}}, "no sensitive attribute"),
        ({"task": "multiclass", "sample_weight": NUMBER}, "weights have no meaning"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changes: dict[str, Any], says: str) -> None:
    given = {"y_true": NUMBER, "y_pred": NUMBER, "task": "regression", "sensitive_features": {"sex": SEX}} | changes
    with pytest.raises(ak.InputError, match=says):
        ak.check_outcomes(**given)
