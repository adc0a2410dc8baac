"""Point values equal fairlearn's to 1e-12: every rate, gap, group and intersection."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_score

from auditkit.evidence.metrics import MetricRow, select
from auditkit.fairness.check import FairnessCheck, check_fairness
from auditkit.fairness.counts import joined
from auditkit.fairness.definitions import GAPS
from auditkit.fairness.inference import subsets

ORACLES: dict[str, Callable] = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "true_negative_rate": true_negative_rate,
    "accuracy": accuracy_score,
    "precision": lambda y, d: precision_score(y, d, zero_division=0.0),
    "negative_predictive_value": lambda y, d: precision_score(1 - np.asarray(y), 1 - np.asarray(d), zero_division=0.0),
    "base_rate": lambda y, _: float(np.mean(y)),
}
GAP_ORACLES: dict[str, Callable] = {
    "demographic_parity_difference": demographic_parity_difference,
    "demographic_parity_ratio": demographic_parity_ratio,
    "equal_opportunity_difference": equal_opportunity_difference,
    "equal_opportunity_ratio": equal_opportunity_ratio,
    "equalized_odds_difference": equalized_odds_difference,
    "equalized_odds_ratio": equalized_odds_ratio,
}


def people(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["Female", "Male"], n),
            "race": rng.choice(["A", "B", "C", "D", "E"], n, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
            "age": rng.choice(["young", "middle", "old", "very old"], n),
        }
    )
    frame["label"] = (rng.random(n) < 0.25 + 0.1 * (frame["sex"] == "Male")).astype(int)
    frame["decision"] = (rng.random(n) < 0.15 + 0.5 * frame["label"] + 0.1 * (frame["race"] == "B")).astype(int)
    return frame


def check(frame: pd.DataFrame, attributes: list[str]) -> FairnessCheck:
    return check_fairness(
        frame["label"], frame["decision"], sensitive_features=frame[attributes], minimum_group=1, replicates=200
    )


def assert_equal_to_fairlearn(frame: pd.DataFrame, attributes: list[str]) -> int:
    """Hold all rows of a check against MetricFrame; how many numbers were compared."""
    found = check(frame, attributes)
    compared = 0
    for subset in subsets(attributes):
        mine = [row for row in found.metrics if row.attribute == joined(subset)]
        oracle = MetricFrame(
            metrics=ORACLES,
            y_true=frame["label"],
            y_pred=frame["decision"],
            sensitive_features=frame[list(subset)],
        )
        by_group = oracle.by_group.dropna(how="all")
        for group, values in by_group.iterrows():
            name = joined(group if isinstance(group, tuple) else (group,))
            for metric in ORACLES:
                (row,) = select(mine, metric=metric, group=name)
                if row.status == "ok":
                    assert row.value == pytest.approx(values[metric], abs=1e-12)
                    assert row.lower <= row.value <= row.upper
                    compared += 1
                else:
                    assert row.n == 0
        compared += _gaps_equal(mine, oracle, frame, list(subset))
    for metric, oracle_of in ORACLES.items():
        (row,) = select(found.metrics, metric=metric, attribute="")
        if row.status == "ok":
            assert row.value == pytest.approx(oracle_of(frame["label"], frame["decision"]), abs=1e-12)
    return compared


def _gaps_equal(mine: list[MetricRow], oracle: MetricFrame, frame: pd.DataFrame, subset: list[str]) -> int:
    compared = 0
    differences, ratios = oracle.difference(method="between_groups"), oracle.ratio(method="between_groups")
    for gap in GAPS.values():
        (row,) = select(mine, metric=gap.name)
        if row.status != "ok" or row.unjudged:
            continue
        values = differences if gap.kind == "difference" else ratios
        expected = (max if gap.kind == "difference" else min)(values[rate] for rate in gap.rates)
        assert row.value == pytest.approx(expected, abs=1e-12), gap.name
        assert row.lower <= row.value + 1e-12
        assert row.value <= row.upper + 1e-12
        if gap.name in GAP_ORACLES:
            direct = GAP_ORACLES[gap.name](frame["label"], frame["decision"], sensitive_features=frame[subset])
            assert row.value == pytest.approx(direct, abs=1e-12)
        compared += 1
    return compared


def test_all_rates_gaps_groups_and_intersections() -> None:
    frame = people(3000, seed=1)
    # 2 + 5 + 4 + 10 + 8 + 20 + 40 groups of 9 rates, 7 subsets of 13 gaps
    assert assert_equal_to_fairlearn(frame, ["sex", "race", "age"]) == 89 * 9 + 7 * len(GAPS)


def test_small_tables_with_empty_cells() -> None:
    assert all(assert_equal_to_fairlearn(people(40, seed), ["sex", "race"]) > 20 for seed in range(3))


rows = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 1), st.integers(0, 1))


@given(st.lists(rows, min_size=6, max_size=60))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_table(table: list[tuple[str, str, int, int]]) -> None:
    frame = pd.DataFrame(table, columns=["first", "second", "label", "decision"])
    if min(frame["first"].nunique(), frame["second"].nunique(), frame["label"].nunique()) < 2:
        return
    assert_equal_to_fairlearn(frame, ["first", "second"])
