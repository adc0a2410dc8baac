"""Derived metrics against scikit-learn, and their honesty where there is nothing to derive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.derived import DERIVED, derived_rows, derived_values
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import multinomial_replicates

ORACLES = {
    "balanced_accuracy": balanced_accuracy_score,
    "f1": lambda truth, decision: f1_score(truth, decision, zero_division=0),
    "matthews_correlation": matthews_corrcoef,
}


def rows_of(cells):
    truth = np.repeat([0, 0, 1, 1], np.ravel(cells))
    decision = np.repeat([0, 1, 0, 1], np.ravel(cells))
    return truth, decision


@given(st.lists(st.integers(1, 30), min_size=4, max_size=4))
def test_values_equal_scikit_learn(cells):
    table = np.array(cells).reshape(1, 2, 2)
    for name, oracle in ORACLES.items():
        assert derived_values(table, DERIVED[name])[0] == pytest.approx(oracle(*rows_of(cells)), abs=1e-12)


def test_treatment_equality_is_wrong_refusals_for_each_wrong_grant():
    assert derived_values(np.array([[[50, 4], [6, 40]]]), DERIVED["treatment_equality"])[0] == 1.5


@pytest.mark.parametrize("name", DERIVED)
def test_a_zero_denominator_is_no_number(name):
    assert np.isnan(derived_values(np.array([[[30, 0], [0, 0]]]), DERIVED[name])[0])


def judged(cells, minimum=30):
    counts = Counts(("sex",), tuple((name,) for name in "ab"), np.array(cells))
    drawn = multinomial_replicates(counts.cells, 500, np.random.default_rng(0))
    found = derived_rows(Margin(counts, drawn), Settings(minimum_group=minimum, replicates=500))
    return {(row.metric, row.group): row for row in found}


def test_intervals_hold_the_value_and_small_groups_are_named():
    rows = judged([[[400, 100], [80, 300]], [[40, 10], [3, 7]]])
    for metric in ORACLES:
        row = rows[metric, "a"]
        assert row.lower < row.value < row.upper
        assert rows[metric, "b"].status == "insufficient"
    assert "only 10 positive labels" in rows["balanced_accuracy", "b"].reason
    assert rows["treatment_equality", "a"].value == pytest.approx(0.8)


def test_too_few_errors_give_no_interval_and_so_no_number():
    row = judged([[[400, 1], [80, 300]], [[400, 100], [80, 300]]], minimum=1)["treatment_equality", "a"]
    assert (row.status, row.value) == ("insufficient", None)
    assert row.reason == "too few errors for an interval"
