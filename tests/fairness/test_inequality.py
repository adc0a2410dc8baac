"""Inequality of benefits against published numbers, closed forms and its own decomposition."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.individual.inequality import (
    BENEFITS,
    INDICES,
    benefits,
    between_interval,
    decomposition,
    generalised_entropy,
    index_intervals,
    inequality_findings,
)
from auditkit.fairness.individual.view import individual_sections
from auditkit.fairness.settings import Settings

CELLS = np.array([[[50, 40], [10, 60]], [[80, 10], [30, 40]]])


def entropy(truth: list[int], decision: list[int], alpha: float = 2.0) -> float:
    benefit = np.array(decision) - np.array(truth) + 1.0
    return float(generalised_entropy(benefit, np.ones(len(benefit)), alpha))


def test_the_published_fixtures_of_aif360() -> None:
    # tests/test_classification_metric.py of AIF360: ten rows in three groups, two decisions
    truth = [1, 0, 0, 1, 0, 0, 1, 0, 1, 1]
    decision = [1, 0, 0, 0, 1, 1, 1, 0, 1, 0]
    assert entropy(truth, decision) == pytest.approx(0.2, abs=1e-12)
    assert entropy(truth, [0, 1, 1, 0, 0, 0, 0, 1, 1, 1]) == pytest.approx(0.3, abs=1e-12)
    assert entropy(truth, decision, 1.0) == pytest.approx(4 * np.log(2) / 10, abs=1e-12)
    means = np.array([1, 1, 1.25, 1.25, 1.25, 1.25, 0.75, 0.75, 0.75, 0.75])
    held = [[0, 2, 0], [1, 1, 2], [1, 3, 0]]
    assert decomposition(held)[1] == pytest.approx((means**2 - 1).sum() / 20, abs=1e-12)
    # and six rows in two groups
    assert decomposition([[1, 1, 0], [1, 1, 2]])[1] == pytest.approx((2 * 0.5**2 + 4 * 1.25**2 - 6) / 12, abs=1e-12)


def test_equal_benefits_are_not_unequal() -> None:
    assert entropy([0, 1, 0], [0, 1, 0]) == 0.0
    assert entropy([0, 0], [1, 1], 1.0) == pytest.approx(0.0, abs=1e-15)  # everybody gains alike


@pytest.mark.parametrize("alpha", [0.5, 1.5, 2.0, 3.0])
def test_any_order_equals_its_definition(alpha: float) -> None:
    b = np.array([0.0, 1, 1, 1, 2, 2, 1, 0])
    expected = sum((x / b.mean()) ** alpha - 1 for x in b) / (len(b) * alpha * (alpha - 1))
    held = [(b == value).sum() for value in BENEFITS]
    assert generalised_entropy(BENEFITS, held, alpha) == pytest.approx(expected, abs=1e-12)


def test_order_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        generalised_entropy(BENEFITS, [1, 1, 1], 0.0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 500)] * 3).filter(lambda held: sum(held) > 0), min_size=1, max_size=8).filter(
        lambda groups: sum(held[1] + held[2] for held in groups) > 0
    ),
    st.sampled_from([0.5, 1.0, 2.0, 3.0]),
)
def test_the_parts_add_up_to_the_whole(groups: list[tuple[int, int, int]], alpha: float) -> None:
    held = np.array(groups)
    within, between = decomposition(held, alpha)
    assert within + between == pytest.approx(float(generalised_entropy(BENEFITS, held.sum(axis=0), alpha)), abs=1e-9)


def test_order_and_names_of_groups_change_nothing() -> None:
    first = inequality_findings(Counts(("sex",), (("f",), ("m",)), CELLS), Settings())
    other = inequality_findings(Counts(("sex",), (("m",), ("f",)), CELLS[::-1]), Settings())
    mine, theirs = ({(row.metric, row.group): row.value for row in found.metrics} for found in (first, other))
    assert mine.keys() == theirs.keys()
    assert all(mine[key] == pytest.approx(theirs[key], abs=1e-12) for key in mine)


def test_coefficient_of_variation_is_that_of_the_benefits() -> None:
    found = inequality_findings(Counts(("sex",), (("f",), ("m",)), CELLS), Settings()).metrics
    b = np.repeat(BENEFITS, benefits(CELLS).sum(axis=0))
    row = next(row for row in found if row.metric == "coefficient_of_variation" and not row.attribute)
    assert row.value == pytest.approx(b.std() / b.mean(), abs=1e-12)


def test_intervals_cover() -> None:
    rng, held = np.random.default_rng(0), np.array([60, 800, 140]) / 1000
    squared = generalised_entropy(BENEFITS, held)
    truths = {
        "generalised_entropy_index": squared,
        "theil_index": generalised_entropy(BENEFITS, held, 1.0),
        "coefficient_of_variation": np.sqrt(2 * squared),
    }
    hits: dict[str, int] = dict.fromkeys(INDICES, 0)
    for at in range(300):
        drawn = rng.multinomial(1000, held)
        found = index_intervals(drawn, Settings(replicates=500), np.random.default_rng(at))
        for metric, (low, high) in found.items():
            hits[metric] += low <= truths[metric] <= high
    assert set(hits) == set(truths)
    assert min(hits.values()) >= 0.91 * 300


def test_few_errors_give_no_point_interval() -> None:
    low, high = index_intervals(np.array([0, 50, 0]), Settings(), np.random.default_rng(0))["generalised_entropy_index"]
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high > 0.02


@pytest.mark.parametrize("means", [(0.0, 0.0, 0.0), (0.0, 0.0, 0.15), (-0.1, 0.0, 0.1)])
def test_the_part_between_groups_is_covered_also_where_there_is_none(means: tuple[float, ...]) -> None:
    rng, n = np.random.default_rng(1), (900, 300, 150)
    shares = np.array([[0.1 - shift / 2, 0.8, 0.1 + shift / 2] for shift in means])
    truth = decomposition(shares * np.array(n)[:, None])[1]
    hits = 0
    for at in range(200):
        held = np.stack([rng.multinomial(size, share) for size, share in zip(n, shares, strict=True)])
        low, high = between_interval(held, Settings(), np.random.default_rng(at))
        hits += low <= truth + 1e-15 and truth <= high
    assert hits >= 0.92 * 200


def test_small_groups_are_named_and_left_out() -> None:
    cells = np.concatenate([CELLS, [[[3, 1], [1, 2]]]])
    found = inequality_findings(Counts(("sex",), (("f",), ("m",), ("x",)), cells), Settings()).metrics
    split = next(row for row in found if row.metric == "between_group_entropy")
    assert split.status == "ok"
    assert split.unjudged == ("x",)
    assert all(row.status == "insufficient" and row.reason for row in found if row.group == "x")


def test_benefits_of_nobody_are_no_number() -> None:
    cells = np.array([[[0, 0], [50, 0]], [[40, 0], [5, 5]]])
    found = inequality_findings(Counts(("sex",), (("f",), ("m",)), cells), Settings()).metrics
    lost = [row for row in found if row.group == "f"]
    assert lost
    assert all(row.status == "insufficient" and "mean benefit is 0" in row.reason for row in lost)


def test_the_section_splits_the_index() -> None:
    found = inequality_findings(Counts(("sex",), (("f",), ("m",)), CELLS), Settings(), "test")
    (section,) = individual_sections(SimpleNamespace(rows=found.metrics, table=lambda name: None))
    assert "Between groups lies, of that: by sex" in section.finding
    assert section.table.column("part").to_pylist() == ["between groups", "within groups"]
    assert individual_sections(SimpleNamespace(rows=[], table=lambda name: None)) == []
