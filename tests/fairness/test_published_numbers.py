"""Numbers that others have published, from their data: ProPublica's COMPAS analysis, fairlearn's and HolisticAI's docs.

New York City's examples and the Uniform Guidelines' stand in `test_standards`, the Adult base rates in `test_check`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from auditkit import check_fairness
from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.result import FairnessCheck
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import reliability
from auditkit.fairness.standards.significance import two_proportion_z
from auditkit.statistics.permutation import largest_deviation


@pytest.fixture(scope="module")
def compas(real_data: Path) -> pd.DataFrame:
    return pd.read_csv(real_data / "compas_two_years.csv", keep_default_na=False)


def judged(table: pd.DataFrame, flagged: Any, **settings: Any) -> FairnessCheck:
    return check_fairness(
        table["two_year_recid"].astype(int),
        np.asarray(flagged).astype(int),
        sensitive_features={"race": table["race"]},
        minimum_group=1,
        replicates=200,
        **settings,
    )


def percent(check: FairnessCheck, metric: str, group: str) -> float:
    (row,) = select(check.metrics, metric=metric, group=group, attribute="race" if group else "")
    assert row.value is not None
    return 100 * row.value


# Larson, Mattu, Kirchner and Angwin (2016), "How We Analyzed the COMPAS Recidivism Algorithm"; cells of all 7,214 rows:
# TN, FP, FN, TP, then the false positive, false negative and selection rate in percent as printed or as they follow
COMPAS = {
    "African-American": ((990, 805, 532, 1369), 44.85, 27.99, 58.82),
    "Caucasian": ((1139, 349, 461, 505), 23.45, 47.72, 34.80),
    "Hispanic": ((318, 87, 129, 103), 21.48, 55.60, 29.83),
    "Asian": ((21, 2, 3, 6), 8.70, 33.33, 25.00),
    "Native American": ((5, 3, 1, 9), 37.50, 10.00, 66.67),
    "Other": ((208, 36, 90, 43), 14.75, 67.67, 20.95),
}


def test_compas_confusion_tables_of_every_group(compas: pd.DataFrame) -> None:
    check = judged(compas, compas["score_text"] != "Low")
    cells = check.counts.margin(["race"])
    for group, (expected, fpr, fnr, selected) in COMPAS.items():
        assert tuple(cells.cells[cells.names.index(group)].ravel()) == expected
        assert percent(check, "false_positive_rate", group) == pytest.approx(fpr, abs=0.005)
        assert percent(check, "false_negative_rate", group) == pytest.approx(fnr, abs=0.005)
        assert percent(check, "selection_rate", group) == pytest.approx(selected, abs=0.005)
    assert tuple(cells.cells.sum(axis=0).ravel()) == (2681, 1282, 1216, 2035)
    for metric, group, published in (
        ("precision", "", 61),
        ("precision", "African-American", 63),
        ("precision", "Caucasian", 59),
        ("negative_predictive_value", "", 69),
        ("negative_predictive_value", "African-American", 65),
        ("negative_predictive_value", "Caucasian", 71),
    ):
        assert percent(check, metric, group) == pytest.approx(published, abs=0.5)


def test_compas_high_scores_only(compas: pd.DataFrame) -> None:
    check = judged(compas, compas["score_text"] == "High")
    for group, fpr, fnr in (("African-American", 15.82, 61.02), ("Caucasian", 5.44, 79.81)):
        assert percent(check, "false_positive_rate", group) == pytest.approx(fpr, abs=0.005)
        assert percent(check, "false_negative_rate", group) == pytest.approx(fnr, abs=0.005)


def test_compas_as_filtered_to_6172_rows(compas: pd.DataFrame) -> None:
    days = pd.to_numeric(compas["days_b_screening_arrest"], errors="coerce")
    kept = compas[days.between(-30, 30) & (compas["is_recid"].astype(int) != -1) & (compas["c_charge_degree"] != "O")]
    check = judged(kept, kept["score_text"] != "Low")
    assert check.counts.rows == 6172
    for group, n, fpr, fnr in (("African-American", 3175, 42.34, 28.48), ("Caucasian", 2103, 22.01, 49.64)):
        assert select(check.metrics, metric="selection_rate", group=group)[0].n == n
        assert percent(check, "false_positive_rate", group) == pytest.approx(fpr, abs=0.005)
        assert percent(check, "false_negative_rate", group) == pytest.approx(fnr, abs=0.005)


def test_compas_deciles_rank_alike_and_mean_the_same_in_both_groups(compas: pd.DataFrame) -> None:
    deciles = compas["decile_score"].astype(int)
    check = judged(compas, deciles >= 5, scores=deciles)
    for group, area in (("African-American", 0.6918), ("Caucasian", 0.6931), ("Hispanic", 0.6379), ("Other", 0.6955)):
        assert percent(check, "auc", group) / 100 == pytest.approx(area, abs=5e-5)
    assert percent(check, "auc", "") / 100 == pytest.approx(0.7022, abs=5e-5)
    groups = encode_groups({"race": pa.array(compas["race"].tolist())}, "compas")
    counts = ScoreCounts.tally(groups, (compas["two_year_recid"].astype(int) == 1).to_numpy(), deciles / 10 - 0.05, 10)
    rates = {(row["group"], round(row["high"] * 10)): row["rate"] for row in reliability(counts, bands=10).to_pylist()}
    for decile, black, white in ((1, 0.229, 0.209), (5, 0.482, 0.461), (8, 0.682, 0.719), (10, 0.794, 0.703)):
        assert rates["African-American", decile] == pytest.approx(black, abs=5e-4)
        assert rates["Caucasian", decile] == pytest.approx(white, abs=5e-4)


# the arrays of fairlearn's user guide (assessment: common fairness metrics, performing an assessment, MetricFrame)
LABELS = [0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]
DECISIONS = [0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0]
GROUPS = list("bbabbcccaacabccbcc")
WEIGHTS = [1, 2, 1, 3, 2, 3, 1, 2, 1, 2, 3, 1, 2, 3, 2, 3, 1, 1]
OTHER_WEIGHTS = [3, 1, 2, 3, 2, 3, 1, 4, 1, 2, 3, 1, 2, 1, 4, 2, 2, 3]


def documented(groups: list[str] = GROUPS, **settings: Any) -> FairnessCheck:
    return check_fairness(
        LABELS, DECISIONS, sensitive_features={"sf": groups}, minimum_group=1, replicates=200, **settings
    )


def test_fairlearn_documented_gaps() -> None:
    gaps = documented().disparities["value"].loc["sf"]
    assert gaps["demographic_parity_difference"] == pytest.approx(0.25)
    assert gaps["demographic_parity_ratio"] == pytest.approx(2 / 3)
    assert gaps["equalized_odds_difference"] == pytest.approx(1.0)
    assert gaps["equalized_odds_ratio"] == pytest.approx(0.0)
    assert gaps["equal_opportunity_difference"] == pytest.approx(0.2)
    assert gaps["equal_opportunity_ratio"] == pytest.approx(2 / 3)
    assert gaps["predictive_equality_difference"] == pytest.approx(1.0)


def test_fairlearn_documented_groups_and_overall() -> None:
    check = documented()
    rates = check.by_group[["true_positive_rate", "false_positive_rate", "selection_rate"]]
    assert rates.loc["a"].tolist() == pytest.approx([0.5, 1.0, 0.75])
    assert rates.loc["b"].tolist() == pytest.approx([0.6, 0.0, 0.5])
    assert rates.loc["c"].tolist() == pytest.approx([0.4, 2 / 3, 0.5])
    overall = check.overall[["true_positive_rate", "false_positive_rate", "selection_rate"]]
    assert overall.tolist() == pytest.approx([0.5, 0.666667, 0.555556], abs=5e-7)
    assert check.counts.cells.tolist() == [[[0, 2], [1, 1]], [[1, 0], [2, 3]], [[1, 2], [3, 2]]]
    assert check.counts.margin([]).cells.tolist() == [[[2, 4], [6, 6]]]


@pytest.mark.parametrize(
    ("weights", "overall", "groups"),
    [
        (WEIGHTS, 0.454545, [0.5, 0.583333, 0.25]),
        (OTHER_WEIGHTS, 0.458333, [0.666667, 0.6, 0.272727]),
    ],
)
def test_fairlearn_documented_weighted_recall(weights: list[int], overall: float, groups: list[float]) -> None:
    check = documented(sample_weight=weights)
    assert check.overall["true_positive_rate"] == pytest.approx(overall, abs=5e-7)
    assert check.by_group["true_positive_rate"].tolist() == pytest.approx(groups, abs=5e-7)


def test_fairlearn_documented_rates_of_the_bootstrap_example() -> None:
    """The documented quantiles at 0.159 and 0.841 are a bootstrap's; few rows get Wilson's interval, which is near."""
    check = documented(list("bbabbaaabababbabbb"), confidence=0.682)
    assert check.by_group["selection_rate"].tolist() == pytest.approx([0.714286, 0.454545], abs=5e-7)
    assert check.overall["selection_rate"] == pytest.approx(0.555556, abs=5e-7)
    ends = check.intervals["selection_rate"]
    for group, low, high in (("a", 0.5, 0.891767), ("b", 0.333333, 0.583333)):
        assert ends.loc[group, "lower"] == pytest.approx(low, abs=0.06)
        assert ends.loc[group, "upper"] == pytest.approx(high, abs=0.06)


# the arrays of HolisticAI's docstrings
FIRST = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
SECOND, TRUTH = [1, 1, 0, 0, 1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 1, 0, 1, 0, 0, 1]
SIDES = ["a"] * 4 + ["b"] * 6


def test_holisticai_documented_gaps() -> None:
    check = check_fairness(
        TRUTH, FIRST, sensitive_features={"side": SIDES}, minimum_group=1, replicates=200, positive=1
    )
    gaps = check.disparities["value"].loc["side"]
    assert gaps["four_fifths"] == pytest.approx(0.4444444444444444, abs=1e-15)
    assert 1 / gaps["demographic_parity_ratio"] == pytest.approx(2.25)
    (pair,) = [row for row in check.tables["pairs"].to_pylist() if row["metric"] == "selection_rate"]
    assert (pair["first"], pair["second"]) == ("a", "b")
    assert pair["difference"] == pytest.approx(0.4166666666666667, abs=1e-15)
    check = check_fairness(TRUTH, SECOND, sensitive_features={"side": SIDES}, minimum_group=1, replicates=200)
    pairs = {row["metric"]: row["difference"] for row in check.tables["pairs"].to_pylist()}
    assert pairs["true_positive_rate"] == pytest.approx(0.33333333333333337)
    assert pairs["false_positive_rate"] == pytest.approx(-1.0)


def test_holisticai_documented_z() -> None:
    """Four-fifths' companion is the same pooled z. The permutation's variance has N - 1, so that its z is smaller."""
    z, _ = two_proportion_z((4, 3), (6, 2)) or (0.0, 0.0)
    assert z == pytest.approx(1.290994449, abs=1e-9)
    assert largest_deviation([3, 2], [4, 6]) == pytest.approx(z * np.sqrt(9 / 10), abs=1e-12)
