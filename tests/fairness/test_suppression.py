"""Small cells cannot be computed from what is published; groups that lack a number are never judged."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from auditkit import InputError, check_fairness
from auditkit.fairness.counted import check_counts
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.counting.published import PublishedCounts, from_table, to_table
from auditkit.fairness.counting.suppression import merge_small, suppress


def crossed(rng, shape, size) -> Counts:
    groups = tuple(tuple(f"{axis}{value}" for axis, value in enumerate(place)) for place in np.ndindex(*shape))
    expected = rng.lognormal(np.log(size), 1.2, (len(groups), 1)) * rng.dirichlet(np.ones(4), len(groups))
    return Counts(("a", "b", "c")[: len(shape)], groups, rng.poisson(expected).reshape(-1, 2, 2))


def attacked(table: pa.Table) -> dict[tuple, tuple[int, int]]:
    """The least and the greatest each withheld number can be: an integer programme over the published file alone."""
    records = [record for record in table.to_pylist() if record["bin"] is None]
    finest = max((tuple(record["attributes"]) for record in records), key=len)
    groups = sorted({tuple(record["group"]) for record in records if tuple(record["attributes"]) == finest})
    cells = [(group, label, decision) for group in groups for label in (0, 1) for decision in (0, 1)]
    places = {cell: at for at, cell in enumerate(cells)}

    def row(record):
        keep = [finest.index(name) for name in record["attributes"]]
        line = np.zeros(len(places))
        for (group, label, decision), at in places.items():
            inside = [group[k] for k in keep] == record["group"]
            line[at] = inside and record["label"] in (None, label) and record["decision"] in (None, decision)
        return line

    lines = np.array([row(record) for record in records])
    told = np.array([np.nan if record["rows"] is None else record["rows"] for record in records])
    known = ~np.isnan(told)
    constraint = LinearConstraint(lines[known], told[known], told[known])
    found = {}
    for at in np.flatnonzero(~known):
        ends = [
            milp(sign * lines[at], constraints=constraint, bounds=Bounds(0, np.inf), integrality=np.ones(len(places)))
            for sign in (1, -1)
        ]
        record = records[at]
        key = (tuple(record["attributes"]), tuple(record["group"]), record["label"], record["decision"])
        found[key] = (round(ends[0].fun), round(-ends[1].fun))
    return found


def truth_of(counts: Counts, key) -> int:
    attributes, group, label, decision = key
    margin = counts.margin(attributes)
    cells = margin.cells[margin.groups.index(group)]
    return int(cells.sum() if label is None else cells[label, decision])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(2,), (3,), (6,), (2, 3), (2, 4), (2, 2, 2)]),
    size=st.sampled_from([15, 60, 200]),
    smallest=st.sampled_from([3, 5, 10]),
)
def test_no_withheld_number_can_be_solved_for(seed, shape, size, smallest):
    counts = crossed(np.random.default_rng(seed), shape, size)
    if counts.rows < smallest:
        return
    published = to_table(PublishedCounts(suppress(counts, smallest)))
    stated = [record for record in published.to_pylist() if record["rows"] is not None]
    assert all(record["rows"] >= smallest for record in stated)
    for key, (least, most) in attacked(published).items():
        value = truth_of(counts, key)
        assert least <= value <= most
        assert most > least
        if value < smallest:
            assert most - least >= smallest


def test_withholding_the_small_cell_alone_would_give_it_away():
    cells = np.array([[[40, 30], [20, 60]], [[20, 15], [3, 12]], [[50, 30], [25, 11]]])
    counts = Counts(("race",), (("a",), ("b",), ("c",)), cells)
    table = to_table(PublishedCounts(suppress(counts)))
    hidden = [(record["group"], record["label"], record["decision"]) for record in table.to_pylist()
              if record["rows"] is None]  # fmt: skip
    assert (["b"], 1, 0) in hidden
    assert len(hidden) == 4
    assert attacked(table)[("race",), ("b",), 1, 0] == (0, 15)


def test_what_is_large_enough_is_published_whole():
    counts = Counts(("sex",), (("f",), ("m",)), np.array([[[40, 30], [20, 60]], [[20, 15], [13, 12]]]))
    kept = suppress(counts)
    assert kept.incomplete == []
    assert np.array_equal(kept.cells, counts.cells)


@pytest.fixture(scope="module")
def check():
    rng = np.random.default_rng(0)
    n = 4000
    race = rng.choice(list("abcd"), n, p=[0.6, 0.3, 0.085, 0.015])
    sex = rng.choice(["f", "m"], n)
    truth = rng.integers(0, 2, n)
    decision = (rng.random(n) < 0.3 + 0.3 * truth).astype(int)
    return check_fairness(truth, decision, sensitive_features={"sex": sex, "race": race})


@pytest.fixture(scope="module")
def kept(check):
    return check_counts(from_table(to_table(PublishedCounts.of(check).suppressed())))


def test_incomplete_groups_are_insufficient_and_no_number_is_zero(check, kept):
    counts = kept.counts
    assert counts.rows == check.counts.rows
    for attributes in counts.margins:
        margin = counts.margin(attributes)
        hidden = [row for row in kept.metrics
                  if row.attribute == " × ".join(attributes) and row.group in margin.incomplete]  # fmt: skip
        assert all(row.status == "insufficient" and row.value is None and row.n != 0 for row in hidden)
        assert bool(hidden) == bool(margin.incomplete)
    incomplete = counts.margin(["race"]).incomplete
    assert "d" in incomplete
    named = ("demographic_parity_difference", "equalized_odds_difference", "four_fifths", "any_gap_p_value")
    gaps = [row for row in kept.metrics if row.attribute == "race" and row.metric in named]
    assert len(gaps) >= 4
    assert all(set(incomplete) <= set(row.unjudged) for row in gaps)
    for name in ("counts", "rates", "shrunken", "four_fifths"):
        for record in kept.tables[name].to_pylist():
            if record["attribute"] == "race" and record["group"] in incomplete:
                assert 0 not in [value for value in record.values() if not isinstance(value, bool)]


def test_what_is_whole_has_the_values_it_had(check, kept):
    before = {(row.metric, row.attribute, row.group): row.value for row in check.metrics if row.group}
    same = [
        row for row in kept.metrics if row.group and row.status == "ok" and not row.metric.startswith(("any", "sma"))
    ]
    assert len(same) > 40
    for row in same:
        if (row.metric, row.attribute, row.group) in before:
            assert row.value == before[row.metric, row.attribute, row.group]


def test_a_gate_over_a_withheld_group_never_passes(kept):
    results = {result.subject.split(" · ")[0]: result for result in kept.results}
    assert results["race"].verdict in ("inconclusive", "fail")
    wide = check_counts(
        PublishedCounts(kept.counts), policy={"demographic_parity_difference": {"at_most": 1.0, "of": ["race"]}}
    )
    assert wide.verdict == "inconclusive"
    assert "not every group could be judged" in wide.results[0].reason
    told = [caveat.text for caveat in kept.caveats if "withheld" in caveat.text]
    assert any("groups of race (" in text and "of 4,000 rows are withheld" in text for text in told)


def test_everybody_is_not_known_without_the_withheld(kept):
    rows = [row for row in kept.metrics if row.metric.endswith("_to_overall") and row.attribute == "race"]
    assert rows
    assert {row.status for row in rows} == {"insufficient"}


def test_small_groups_are_merged_where_asked(check):
    merged = merge_small(check.counts, 80)
    assert {group[1] for group in merged.groups} == {"a", "b", "(other)"}
    assert merged.rows == check.counts.rows
    assert np.array_equal(merged.margin(["sex"]).cells, check.counts.margin(["sex"]).cells)


def test_weights_are_withheld_where_counts_are():
    rng = np.random.default_rng(1)
    race = rng.choice(["a", "b", "c"], 900, p=[0.6, 0.37, 0.03])
    check = check_fairness(
        rng.integers(0, 2, 900),
        rng.integers(0, 2, 900),
        sensitive_features={"race": race},
        sample_weight=rng.uniform(1, 3, 900),
    )
    counts = suppress(check.counts)
    incomplete = counts.shown.incomplete
    assert 0 < incomplete.sum() < len(incomplete)
    assert not counts.weights.total[incomplete].any()
    assert np.array_equal(counts.weights.total[~incomplete], check.counts.weights.total[~incomplete])
    back = from_table(to_table(PublishedCounts(counts))).counts
    assert np.array_equal(back.weights.squares, counts.weights.squares)
    assert check_counts(PublishedCounts(back)).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("cells", "smallest", "says"),
    [([[[1, 1], [1, 1]], [[1, 1], [1, 1]]], 10, "only 8 rows in all"), ([[[9, 9], [9, 9]]] * 2, 1, "at least 2")],
)
def test_what_cannot_be_published_is_refused(cells, smallest, says):
    with pytest.raises(InputError, match=says):
        suppress(Counts(("sex",), (("f",), ("m",)), np.array(cells)), smallest)


def test_local_law_144_needs_every_count(kept):
    with pytest.raises(InputError, match="need every count"):
        check_counts(PublishedCounts(kept.counts), ll144=("sex", "race"))
