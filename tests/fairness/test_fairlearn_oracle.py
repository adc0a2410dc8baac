"""Point values equal fairlearn's and scikit-learn's to 1e-12: every rate, derived metric, gap, group, intersection.

Where fairlearn or scikit-learn give a number for 0/0 (a true positive rate of 0 without positive labels, a Matthews
correlation of 0), ours is not judged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
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
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    roc_auc_score,
)

from auditkit.evidence.metrics import MetricRow, select
from auditkit.fairness.check import check_fairness
from auditkit.fairness.counting.counts import Counts, encode_groups, joined
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.inference import infer, subsets
from auditkit.fairness.result import FairnessCheck
from auditkit.fairness.settings import Settings

ORACLES: dict[str, Callable] = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "true_negative_rate": true_negative_rate,
    "accuracy": accuracy_score,
    "precision": partial(precision_score, zero_division=0.0),
    "negative_predictive_value": partial(precision_score, pos_label=0, zero_division=0.0),
    "base_rate": lambda y, _, sample_weight=None: float(np.average(y, weights=sample_weight)),
}
COMPLEMENTS = {"false_discovery_rate": "precision", "false_omission_rate": "negative_predictive_value"}
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


TABLES, BATCHES = 200, 10
SHAPES = [(2,), (3,), (7,), (12,), (2, 2), (3, 2), (2, 5), (4, 3), (2, 2, 2), (3, 2, 2)]
WEIGHTED = {
    "balanced_accuracy": balanced_accuracy_score,
    "f1": f1_score,
    "matthews_correlation": matthews_corrcoef,
}


def random_table(seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Columns of groups, label, decision, weight and score; which are empty, extreme or lack a class is random too."""
    rng = np.random.default_rng([2024, seed])
    groups = np.array([np.prod(shape) for shape in SHAPES])
    shape = SHAPES[int(rng.choice(len(SHAPES), p=(1 / groups) / (1 / groups).sum()))]
    n = int(rng.choice([12, 60, 400, 3000]))
    attributes = [f"attribute {place}" for place in range(len(shape))]
    frame = pd.DataFrame({name: rng.integers(0, k, n).astype(str) for name, k in zip(attributes, shape, strict=True)})
    for place, name in enumerate(attributes):  # two groups at least
        frame.loc[:1, name] = ["0", "1"] if place == 0 else ["1", "0"]
    rare = float(rng.choice([0.5, 0.2, 0.01, 0.0]))
    frame["label"] = (rng.random(n) < rare).astype(int)
    frame["decision"] = (rng.random(n) < rng.choice([0.5, 0.1, 0.005]) + 0.4 * frame["label"]).astype(int)
    spoiled = frame[attributes[0]] == "1"
    kind = seed % 5
    if kind == 1:
        frame.loc[spoiled, "label"] = 0
    elif kind == 2:
        frame.loc[spoiled, "label"] = 1
    elif kind == 3:
        frame.loc[spoiled, "decision"] = int(rng.integers(2))
    elif kind == 4:
        frame["decision"] = int(rng.integers(2))
    frame["weight"] = rng.gamma(0.7, 3.0, n) + 0.01 if seed % 4 == 3 else 1.0
    frame["score"] = (rng.random(n) + 0.3 * frame["label"]).round(1)
    return frame, attributes


def inferred(frame: pd.DataFrame, attributes: list[str]) -> list[MetricRow]:
    """All rows by way of counts, which unlike a check take labels of one class only."""
    groups = encode_groups({name: pa.array(frame[name]) for name in attributes}, "people")
    weights = frame["weight"].to_numpy() if frame["weight"].nunique() > 1 else None
    truth, decision = (frame[name].to_numpy() == 1 for name in ("label", "decision"))
    counts = Counts.tally(groups, truth, decision, weights=weights)
    found = infer(counts, Settings(minimum_group=1, replicates=200))
    return [*found.rates, *found.derived, *found.gaps]


def fractions(frame: pd.DataFrame) -> dict[str, int]:
    """The rows that each rate is a share of, straight from its definition."""
    cells = np.zeros((2, 2), dtype=int)
    np.add.at(cells, (frame["label"].to_numpy(), frame["decision"].to_numpy()), 1)
    return {name: sum(int(cells[cell]) for cell in rate.denominator) for name, rate in RATES.items()}


def held_against_fairlearn(frame: pd.DataFrame, attributes: list[str]) -> int:
    """Hold rates, derived metrics and gaps of one table against MetricFrame; how many numbers were compared."""
    rows, compared = inferred(frame, attributes), 0
    every = {**ORACLES, **WEIGHTED}
    weighted = frame["weight"].nunique() > 1
    parameters = {name: {"sample_weight": frame["weight"]} for name in every} if weighted else None
    for subset in [tuple(attributes)]:
        oracle = MetricFrame(
            metrics=every,
            y_true=frame["label"],
            y_pred=frame["decision"],
            sensitive_features=frame[list(subset)],
            sample_params=parameters,
        ).by_group.dropna(how="all")
        for name, of in COMPLEMENTS.items():
            oracle[name] = 1 - oracle[of]
        parts = {joined(at if isinstance(at, tuple) else (at,)): at for at in oracle.index}
        mine = [row for row in rows if row.attribute == joined(subset)]
        places = frame.groupby(list(subset)).indices
        sizes = {name: fractions(frame.iloc[places[at]]) for name, at in parts.items()}
        for row in mine:
            if not row.group or row.metric not in oracle:
                continue
            if row.status == "ok":
                expected = oracle.loc[parts[row.group], row.metric]
                assert row.value == pytest.approx(expected, abs=1e-12), (row.metric, row.group)
                compared += 1
            if row.metric in RATES:
                # left out is a rate that is a share of no rows, where fairlearn says 0, and no other
                assert (row.status == "ok") == (sizes.get(row.group, NOBODY)[row.metric] > 0)
                assert (row.value is None) == (row.status != "ok")
        compared += gaps_held(mine, oracle, parts)
    return compared


NOBODY = dict.fromkeys(RATES, 0)


def gaps_held(mine: list[MetricRow], oracle: pd.DataFrame, parts: dict[str, Any]) -> int:
    """Gaps against MetricFrame's groups, those left out that are a share of no rows."""
    compared = 0
    for gap in GAPS.values():
        (row,) = select(mine, metric=gap.name)
        judged = {
            rate: [parts[one.group] for one in select(mine, metric=rate) if one.status == "ok"] for rate in gap.rates
        }
        left_out = {name for name, at in parts.items() if any(at not in judged[rate] for rate in gap.rates)}
        assert left_out <= set(row.unjudged), gap.name
        if row.status != "ok":
            few = any(len(groups) < 2 for groups in judged.values())
            assert few or (gap.kind == "ratio" and any((oracle.loc[judged[r], r] == 0).all() for r in gap.rates))
            continue
        values = [oracle.loc[judged[rate], rate] for rate in gap.rates]
        if gap.kind == "difference":
            expected = max(value.max() - value.min() for value in values)
        else:
            expected = min(value.min() / value.max() for value in values)
        assert row.value == pytest.approx(expected, abs=1e-12), gap.name
        compared += 1
    return compared


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_two_hundred_random_tables(batch: int) -> None:
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        compared = [held_against_fairlearn(*random_table(seed)) for seed in range(batch, TABLES, BATCHES)]
    assert min(compared) > 0
    assert sum(compared) > 500


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", range(4))
def test_areas_by_group_of_random_tables(batch: int) -> None:
    compared = 0
    for seed in range(batch, TABLES, 4):
        frame, attributes = random_table(seed)
        if frame["label"].nunique() < 2:
            continue
        weighted = frame["weight"].nunique() > 1
        found = check_fairness(
            frame["label"],
            frame["decision"],
            positive=1,
            sensitive_features=frame[attributes[:1]],
            scores=frame["score"],
            sample_weight=frame["weight"] if weighted else None,
            minimum_group=1,
            replicates=200,
        )
        for row in select(found.metrics, metric="auc"):
            part = frame[frame[attributes[0]] == row.group] if row.group else frame
            if row.status == "ok":
                area = roc_auc_score(part["label"], part["score"], sample_weight=part["weight"])
                assert row.value == pytest.approx(area, abs=1e-12)
                compared += 1
            else:
                assert min((part["label"] == side).sum() for side in (0, 1)) < 2 or weighted
    assert compared > 60


def test_what_fairlearn_gives_for_nothing_over_nothing_is_not_judged() -> None:
    """A group without positives: fairlearn says a true positive rate of 0, and so an equalized odds gap of 1."""
    frame = pd.DataFrame({"sex": ["f"] * 80 + ["m"] * 80, "label": [0, 0, 1, 1] * 20 + [0] * 80})
    frame["decision"] = frame["label"]
    theirs = equalized_odds_difference(frame["label"], frame["decision"], sensitive_features=frame["sex"])
    assert theirs == 1.0
    mine = inferred(frame.assign(weight=1.0), ["sex"])
    (rate,) = select(mine, metric="true_positive_rate", group="m")
    (odds,) = select(mine, metric="equalized_odds_difference")
    assert (rate.status, rate.value, rate.reason) == ("insufficient", None, "no rows with a positive label")
    assert (odds.status, odds.value, odds.unjudged) == ("insufficient", None, ("m",))
    constant = frame.assign(decision=0, weight=1.0)
    assert matthews_corrcoef(constant["label"], constant["decision"]) == 0
    assert {row.status for row in select(inferred(constant, ["sex"]), metric="matthews_correlation")} == {
        "insufficient"
    }


rows = st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 1), st.integers(0, 1))


@given(st.lists(rows, min_size=6, max_size=60))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_any_table(table: list[tuple[str, str, int, int]]) -> None:
    frame = pd.DataFrame(table, columns=["first", "second", "label", "decision"])
    if min(frame["first"].nunique(), frame["second"].nunique(), frame["label"].nunique()) < 2:
        return
    assert_equal_to_fairlearn(frame, ["first", "second"])
