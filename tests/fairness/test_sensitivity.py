"""Worst cases of wrong labels and groups against brute force; verdicts break where they are said to."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.sensitivity.errors import (
    OF_LABELS,
    gap_with_errors,
    rates_with_errors,
    sensitivity_table,
    unmixed,
)
from auditkit.fairness.sensitivity.verdicts import verdicts_table
from auditkit.fairness.settings import Settings
from auditkit.spec import Gate

CELLS = st.lists(st.integers(1, 12), min_size=4, max_size=4).map(lambda c: np.array(c, dtype=float).reshape(1, 2, 2))


def value(cells, rate):
    k, n = (part[0] for part in fraction_of(cells, rate))
    return k / n if n else None


def relabelled(cells, budget):
    """Every table that relabelling up to `budget` rows could have come from."""
    (tn, fp), (fn, tp) = cells[0].astype(int)
    for a, b in product(range(-tn, fn + 1), range(-fp, tp + 1)):  # rows that become negatives of refused, of chosen
        if abs(a) + abs(b) <= budget:
            yield np.array([[[tn + a, fp + b], [fn - a, tp - b]]], dtype=float)


@given(CELLS, st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_wrong_labels_reach_exactly_the_rates_that_brute_force_finds(cells, budget):
    share = budget / cells.sum()
    for name in ("true_positive_rate", "false_positive_rate", "precision", "accuracy"):
        found = rates_with_errors(cells, RATES[name], "labels", share)
        reached = [each for table in relabelled(cells, budget) if (each := value(table, RATES[name])) is not None]
        empty = any(value(table, RATES[name]) is None for table in relabelled(cells, budget))
        assert found.lowest[0] <= min(reached) + 1e-9
        assert found.highest[0] >= max(reached) - 1e-9
        if not empty:
            assert found.lowest[0] == pytest.approx(min(reached), abs=1e-9)
            assert found.highest[0] == pytest.approx(max(reached), abs=1e-9)


@given(CELLS, st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_wrong_groups_reach_exactly_the_rates_that_brute_force_finds(cells, budget):
    found = rates_with_errors(cells, RATES["selection_rate"], "groups", budget / cells.sum())
    k, n = (int(part[0]) for part in fraction_of(cells, RATES["selection_rate"]))
    reached = [
        (k - left + joined) / (n - left - left_not + joined + joined_not)
        for left, left_not, joined, joined_not in product(range(budget + 1), repeat=4)
        if left + left_not <= budget and joined + joined_not <= budget and left <= k and left_not <= n - k
        if n - left - left_not + joined + joined_not > 0
    ]
    if budget <= min(k, n - k):
        assert found.lowest[0] == pytest.approx(min(reached), abs=1e-9)
        assert found.highest[0] == pytest.approx(max(reached), abs=1e-9)


def test_random_errors_are_unmixed():
    rng = np.random.default_rng(0)
    true = np.array([[[4000, 900], [700, 3400]], [[5000, 400], [1500, 2100]]])
    flipped = np.zeros_like(true)
    for group, label, decision in np.ndindex(true.shape):
        wrong = rng.binomial(true[group, label, decision], 0.1)
        flipped[group, label, decision] += true[group, label, decision] - wrong
        flipped[group, 1 - label, decision] += wrong
    assert unmixed(flipped.astype(float), 0.1) == pytest.approx(true, abs=200)
    assert abs(flipped - true).max() > 250


COUNTS = Counts(("g",), (("a",), ("b",)), np.array([[[400, 100], [100, 400]], [[410, 90], [110, 390]]]))


def test_the_table_widens_with_the_share_and_holds_the_value():
    records = sensitivity_table(COUNTS, Settings()).to_pylist()
    assert {(record["metric"], record["errors"]) for record in records} >= {(m, "labels") for m in OF_LABELS}
    for record in records:
        assert record["smallest"] <= record["value"] <= record["largest"]
    wide = [r["largest"] for r in records if (r["metric"], r["errors"]) == ("equal_opportunity_difference", "labels")]
    assert wide == sorted(wide)


@pytest.mark.parametrize(("limit", "verdict"), [(0.15, "pass"), (0.001, "fail")])
def test_a_verdict_breaks_at_the_share_that_is_told_and_not_before(limit, verdict):
    gap = GAPS["equal_opportunity_difference"]
    counts = COUNTS if verdict == "pass" else Counts(
        ("g",), (("a",), ("b",)), np.array([[[400, 100], [100, 400]], [[410, 90], [300, 200]]])
    )  # fmt: skip
    cells = counts.cells.astype(float)
    observed = gap_with_errors(cells, gap, "labels", 0.0)[0]
    row = MetricRow(
        "fairness", gap.name, attribute="g", value=observed, lower=max(0.0, observed - 0.01), upper=observed + 0.01,
        confidence=0.95, n=1000, unit="points", better="lower",
    )  # fmt: skip
    found = verdicts_table(counts, [row], {gap.name: [Gate(at_most=limit)]}, Settings()).to_pylist()
    labels = next(record for record in found if record["errors"] == "labels")
    assert (labels["verdict"], labels["stands_all"]) == (verdict, False)
    share = labels["stands_up_to"]
    assert share > 0.003
    for errors, holds in ((share - 1e-4, True), (share + 1e-4, False)):
        smallest, largest = gap_with_errors(cells, gap, "labels", errors)
        assert (largest + 0.01 <= limit if verdict == "pass" else smallest - 0.01 > limit) == holds


def test_an_undecided_gate_has_nothing_to_break():
    row = MetricRow(
        "fairness", "equal_opportunity_difference", attribute="g", value=0.02, lower=0.0, upper=0.08, confidence=0.95
    )
    gates = {"equal_opportunity_difference": [Gate(at_most=0.05)]}
    assert verdicts_table(COUNTS, [row], gates, Settings()).num_rows == 0
