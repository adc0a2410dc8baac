"""What cannot be judged never passes, through whichever way in: Python, command line, pytest fixture, scorer, audit.

Four faults, each in a table whose policy it would meet if the fault were looked away from: a group without positive
labels, an intersection that nobody belongs to, a group too small to be judged, a metric that crashes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_val_score
from torch import nn
from typer.testing import CliRunner

import auditkit as ak
from auditkit.cli import app
from auditkit.fairness.counting.pushdown import check_table
from auditkit.fairness.scorer import fairness_scorer

LENIENT = {"difference": {"at_most": 0.5}, "ratio": {"at_least": 0.1}}


def alike(groups: list[dict[str, str]], copies: int = 60) -> pd.DataFrame:
    """Rows in which every group has the same decisions and labels: 2 of 4 cells wrong, nothing else differs."""
    cells = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (1, 1)]
    rows = [{**group, "truth": truth, "decision": decision} for group in groups for truth, decision in cells]
    return pd.DataFrame(rows * copies).sample(frac=1, random_state=0, ignore_index=True)


SEXES = [{"sex": "f"}, {"sex": "m"}]
CROSSED = [{"sex": sex, "race": race} for sex in "fm" for race in "ab"]
THIRD = {"sex": "x"}


def whole() -> pd.DataFrame:
    return alike(SEXES)


def without_positives() -> pd.DataFrame:
    """A third group, as large as the others, in which no label is positive."""
    third = alike([THIRD])
    return pd.concat([whole(), third[third.truth == 0]], ignore_index=True)


def small_group() -> pd.DataFrame:
    return pd.concat([whole(), alike([THIRD], copies=1)], ignore_index=True)


def empty_intersection() -> pd.DataFrame:
    return alike(CROSSED[:3])


# the fault, the columns it lies in and the gaps that rest on it
FAULTS: dict[str, tuple[Callable[[], pd.DataFrame], list[str], list[str]]] = {
    "a group without positives": (
        without_positives,
        ["sex"],
        [
            "equal_opportunity_difference",
            "equal_opportunity_ratio",
            "equalized_odds_difference",
            "equalized_odds_ratio",
        ],
    ),
    "a group too small": (
        small_group,
        ["sex"],
        ["demographic_parity_difference", "four_fifths", "equalized_odds_difference", "accuracy_difference"],
    ),
    "an empty intersection": (
        empty_intersection,
        ["sex", "race"],
        ["demographic_parity_difference", "four_fifths", "equalized_odds_difference", "accuracy_difference"],
    ),
}
CASES = [(fault, gap) for fault, (_, _, gaps) in FAULTS.items() for gap in gaps]


def lenient(gap: str) -> dict[str, Any]:
    return {gap: LENIENT["difference" if gap.endswith("difference") else "ratio"]}


MARKED = [pytest.param((fault, gap), id=f"{fault}: {gap}") for fault, gap in CASES]


@pytest.fixture(params=MARKED)
def case(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, list[str], str]:
    fault, gap = request.param
    make, columns, _ = FAULTS[fault]
    return make(), columns, gap


class Recorded(BaseEstimator):
    """A model that decides as the table says."""

    def fit(self, X: pd.DataFrame, y: Any) -> "Recorded":
        return self

    def predict(self, X: pd.DataFrame) -> Any:
        return X["decision"].to_numpy()


def by_cli(table: pd.DataFrame, columns: list[str], gap: str, folder: Any) -> Any:
    path, gates = folder / "people.csv", folder / "gates.yaml"
    table.to_csv(path, index=False)
    edge, limit = next(iter(lenient(gap)[gap].items()))
    gates.write_text(f"{gap}: {{{edge}: {limit}}}\n")
    arguments = ["fairness", str(path), "--label", "truth", "--prediction", "decision"]
    arguments += ["--sensitive", ",".join(columns), "--gates", str(gates), "--replicates", "500"]
    return CliRunner().invoke(app, arguments)


def by_python(table: pd.DataFrame, columns: list[str], gap: str) -> Any:
    return ak.check_fairness(
        table.truth, table.decision, sensitive_features=table[columns], policy=lenient(gap), replicates=500
    )


GAPS = sorted({gap for _, gap in CASES})


@pytest.mark.parametrize("gap", GAPS)
def test_the_table_without_a_fault_passes_everywhere(gap: str, assert_fair: Any, tmp_path: Any) -> None:
    """Else the tests below would show nothing."""
    for table, columns in ((whole(), ["sex"]), (alike(CROSSED), ["sex", "race"])):
        assert by_python(table, columns, gap).verdict == "pass"
        assert by_cli(table, columns, gap, tmp_path).exit_code == 0
        assert_fair(table.truth, table.decision, sensitive_features=table[columns], policy=lenient(gap), replicates=500)
        assert np.isfinite(fairness_scorer(columns, gap, positive=1)(Recorded(), table, table.truth))


def test_python_does_not_pass(case: tuple[pd.DataFrame, list[str], str]) -> None:
    table, columns, gap = case
    check = by_python(table, columns, gap)
    assert check.verdict in ("inconclusive", "missing")
    assert check.exit_code == 1
    whole_table = check_table(
        table, label="truth", prediction="decision", sensitive=columns, policy=lenient(gap), replicates=500
    )
    assert (whole_table.verdict, whole_table.exit_code) == (check.verdict, 1)


def test_the_command_does_not_pass(case: tuple[pd.DataFrame, list[str], str], tmp_path: Any) -> None:
    table, columns, gap = case
    done = by_cli(table, columns, gap, tmp_path)
    assert done.exit_code == 1
    assert not done.output.startswith("✓")


def test_the_fixture_does_not_pass(case: tuple[pd.DataFrame, list[str], str], assert_fair: Any) -> None:
    table, columns, gap = case
    with pytest.raises(pytest.fail.Exception, match=r"inconclusive|missing"):
        assert_fair(table.truth, table.decision, sensitive_features=table[columns], policy=lenient(gap), replicates=500)


def test_the_scorer_gives_no_score(case: tuple[pd.DataFrame, list[str], str]) -> None:
    """No score is better than any: a search never prefers a model for a group that could not be looked at."""
    table, columns, gap = case
    assert np.isnan(fairness_scorer(columns, gap, positive=1)(Recorded(), table, table.truth))


def test_what_was_left_out_is_named(case: tuple[pd.DataFrame, list[str], str]) -> None:
    table, columns, gap = case
    (result,) = (one for one in by_python(table, columns, gap).results if one.verdict == "inconclusive")
    assert "f × b" in result.reason or "x" in result.reason or "m × b" in result.reason


CRASHES = [
    "auditkit.fairness.groups.gaps.pairwise_differences",
    "auditkit.fairness.groups.gaps.studentised_deviations",
    "auditkit.fairness.groups.gaps.critical_value",
    "auditkit.fairness.groups.rates.wilson",
    "auditkit.fairness.groups.companions.permuted",
]


@pytest.mark.parametrize("statistic", CRASHES)
def test_a_crash_is_no_verdict(
    statistic: str, monkeypatch: pytest.MonkeyPatch, assert_fair: Any, tmp_path: Any
) -> None:
    def crash(*arguments: Any, **settings: Any) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(statistic, crash)
    table, gap = whole(), "demographic_parity_difference"
    with pytest.raises(ZeroDivisionError):
        by_python(table, ["sex"], gap)
    with pytest.raises(ZeroDivisionError):
        check_table(table, label="truth", prediction="decision", sensitive=["sex"], policy=lenient(gap))
    assert by_cli(table, ["sex"], gap, tmp_path).exit_code != 0
    with pytest.raises(ZeroDivisionError):
        assert_fair(table.truth, table.decision, sensitive_features=table[["sex"]], policy=lenient(gap))
    score = fairness_scorer("sex", gap, positive=1)
    with pytest.warns(UserWarning, match="Scoring failed"):
        scores = cross_val_score(Recorded(), table, table.truth, scoring=score, cv=2)
    assert np.isnan(scores).all()


def test_a_gate_on_a_rate_of_each_group_does_not_pass_for_a_group_that_has_none() -> None:
    table = without_positives()
    policy = {"true_positive_rate": {"at_least": 0.1, "of": ["sex"]}}
    check = ak.check_fairness(table.truth, table.decision, sensitive_features=table[["sex"]], policy=policy)
    assert {result.subject.split(" · ")[-1]: result.verdict for result in check.results} == {
        "f": "pass",
        "m": "pass",
        "x": "inconclusive",
    }
    assert (check.verdict, check.exit_code) == ("inconclusive", 1)


@pytest.mark.parametrize("metric", ["auc", "auc_difference", "calibration_error", "score_auc"])
def test_scores_of_a_group_that_cannot_be_judged_do_not_pass(metric: str) -> None:
    table = small_group()
    scores = np.random.default_rng(0).beta(2 + 2 * table.truth, 4 - 2 * table.truth)
    limit = {"at_most": 1.0} if metric in ("auc_difference", "calibration_error") else {"at_least": 0.0}
    check = ak.check_fairness(
        table.truth,
        table.decision,
        sensitive_features=table[["sex"]],
        scores=scores,
        policy={metric: limit},
        replicates=500,
    )
    assert (check.verdict, check.exit_code) == ("inconclusive", 1)


def test_nothing_to_check_is_no_pass(assert_fair: Any) -> None:
    table = whole()
    check = ak.check_fairness(table.truth, table.decision, sensitive_features=table[["sex"]], policy={})
    assert check.verdict == "missing"
    with pytest.raises(pytest.fail.Exception, match="no gate"):
        assert_fair(table.truth, table.decision, sensitive_features=table[["sex"]], policy={})
    check = ak.check_fairness(
        table.truth, table.decision, sensitive_features=table[["sex"]], policy=lenient("demographic_parity_diference")
    )
    assert (check.verdict, check.exit_code) == ("missing", 1)


def audited(table: pd.DataFrame, columns: list[str], gap: str, folder: Any) -> Any:
    """An audit of a model that decides as the column of decisions says."""
    net = nn.Linear(1, 2)
    with np.errstate(all="ignore"):
        net.weight.data[:] = net.weight.new_tensor([[-1.0], [1.0]])
        net.bias.data[:] = net.bias.new_tensor([0.5, -0.5])
    model = ak.load_model(net, classes=["0", "1"], features=["decision"], device="cpu")
    table = table.astype({"truth": str, "decision": float})
    return ak.audit(
        model,
        {"test": table},
        label="truth",
        positive="1",
        sensitive=columns,
        analyses=["fairness"],
        gates={f"fairness/{gap}": lenient(gap)[gap]},
        out=folder,
    )


def test_an_audit_passes_without_a_fault(tmp_path: Any) -> None:
    assert audited(whole(), ["sex"], "equalized_odds_difference", tmp_path).verdict == "pass"


@pytest.mark.parametrize("fault", FAULTS)
def test_an_audit_does_not_pass(fault: str, tmp_path: Any) -> None:
    make, columns, _ = FAULTS[fault]
    found = audited(make(), columns, "equalized_odds_difference", tmp_path)
    assert (found.verdict, found.exit_code) == ("inconclusive", 1)


def test_a_crash_in_an_audit_leaves_no_finished_audit(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: Any, **settings: Any) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr("auditkit.fairness.groups.gaps.pairwise_differences", crash)
    with pytest.raises(ak.AuditError, match="fairness could not finish"):
        audited(whole(), ["sex"], "demographic_parity_difference", tmp_path)
    assert not list(tmp_path.rglob("audit.json"))
