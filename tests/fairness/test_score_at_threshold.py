"""Another threshold, from counts alone, against a check of the rows' own decisions at that threshold."""

import time

import numpy as np
import pyarrow as pa
import pytest

from auditkit import check_fairness
from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Counts, encode_groups
from auditkit.fairness.scores.at_threshold import decided_at, nearest_edge, rows_at
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.evidence import counts_from_table, counts_table, threshold_row
from auditkit.fairness.scores.threshold_view import threshold_cards, threshold_sections

RNG = np.random.default_rng(0)
N = 3000
SEX, RACE = RNG.choice(["f", "m"], N), RNG.choice(["x", "y", "tiny"], N, p=[0.6, 0.395, 0.005])
SCORES = RNG.beta(2, 2, N) * np.where(SEX == "f", 0.9, 1.0)
TRUTH = RNG.random(N) < SCORES
COLUMNS = {"sex": SEX, "race": RACE}
ATTRIBUTES = [("sex",), ("race",), ("sex", "race")]


def counted() -> ScoreCounts:
    groups = encode_groups({name: pa.array(values) for name, values in COLUMNS.items()}, "here")
    return ScoreCounts.tally(groups, TRUTH, SCORES)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.735, 1.0])
def test_it_equals_a_check_of_the_same_decisions(threshold: float) -> None:
    decision = (threshold <= SCORES).astype(int)
    check = check_fairness(TRUTH.astype(int), decision, sensitive_features=COLUMNS, positive=1, replicates=300)
    theirs = {(row.metric, row.attribute, row.group): row for row in check.metrics}
    rows = rows_at(decided_at(counted(), threshold), ATTRIBUTES)
    assert len(rows) > 100
    for row in rows:
        twin = theirs[row.metric, row.attribute, row.group]
        assert (row.value, row.n, row.status, row.unjudged) == (twin.value, twin.n, twin.status, twin.unjudged)
        assert (row.detail, row.unit, row.better) == (twin.detail, twin.unit, twin.better)
        if row.status == "ok":
            assert row.lower <= row.value <= row.upper
            assert (row.lower, row.upper) == pytest.approx((twin.lower, twin.upper), abs=0.06)


def test_a_group_can_have_a_threshold_of_its_own() -> None:
    own = {"f": 0.45, "m": 0.55}
    decision = np.where(SEX == "f", 0.45, 0.55) <= SCORES
    found = decided_at(counted(), 0.9, own, ["sex"])
    groups = encode_groups({name: pa.array(values) for name, values in COLUMNS.items()}, "here")
    assert (found.cells == Counts.tally(groups, TRUTH, decision).cells).all()
    with pytest.raises(InputError, match="between 0 and 1"):
        decided_at(counted(), 0.5, {"f": 1.2}, ["sex"])


def test_the_threshold_in_use_is_told_from_the_decisions_or_said_to_be_none() -> None:
    counts = counted()
    for used in (0.305, 0.5, 0.62):
        assert threshold_row(counts, decided_at(counts, used)).value == used
    row = threshold_row(counts, decided_at(counts, 0.5, {"f": 0.4}, ["sex"]))
    assert row.status == "not applicable"
    assert "no threshold" in row.reason


def test_a_slider_means_the_edge_it_shows() -> None:
    counts = counted()
    assert nearest_edge(counts, 0.1 + 0.2) == 0.3
    assert [nearest_edge(counts, at) for at in (-0.1, 0.2501, 1.3)] == [0.0, 0.25, 1.0]


def test_counts_of_several_splits_come_back_from_one_table() -> None:
    counts = counted()
    groups = encode_groups({"sex": pa.array(["f", "m", "m"]), "race": pa.array(["x", "y", "z"])}, "here")
    nobody_in_z = ScoreCounts.tally(groups, np.array([True, False]), [0.2, 0.8], rows=np.array([0, 1]))
    back = counts_from_table(counts_table({"test": counts, "validation": nobody_in_z}))
    assert list(back) == ["test", "validation"]
    assert back["validation"].groups == nobody_in_z.groups, "a group without rows stays"
    for before, after in ((counts, back["test"]), (nobody_in_z, back["validation"])):
        assert (before.cells == after.cells).all()
        assert (before.sums == after.sums).all()
    with pytest.raises(InputError, match="no table of score counts"):
        counts_from_table(pa.table({"split": ["a"]}))


def test_two_hundred_groups_answer_at_once() -> None:
    rng = np.random.default_rng(1)
    n = 60_000
    columns = {"region": rng.integers(0, 100, n).astype(str), "sex": rng.integers(0, 2, n).astype(str)}
    groups = encode_groups({name: pa.array(values) for name, values in columns.items()}, "here")
    scores = rng.random(n)
    counts = ScoreCounts.tally(groups, rng.random(n) < scores, scores)
    assert len(counts.groups) == 200
    taken = []
    for at in (0.5, 0.4, 0.3, 0.6):
        start = time.process_time()
        rows = rows_at(decided_at(counts, at), [("region", "sex")])
        made = threshold_sections(rows, [], "region × sex")
        taken.append(time.process_time() - start)
    assert min(taken) < 0.3
    rates = made[1].figure
    named = [text for axis in rates.select_yaxes() for text in axis.ticktext]
    assert len(set(named)) <= 15, "of two hundred groups a dozen are drawn, and a strip of all"
    assert "all 200 groups" in named
    assert "… 188 between" in named
    assert made[1].table.num_rows == 200


def test_sections_set_the_threshold_beside_what_was_judged() -> None:
    check = check_fairness(
        TRUTH.astype(int), (SCORES >= 0.5).astype(int), sensitive_features=COLUMNS, scores=SCORES, replicates=300
    )
    rows = rows_at(decided_at(counted(), 0.3), [("sex",)])
    gaps, rates = threshold_sections(rows, check.rows, "sex")
    line = next(line for line in gaps.table.to_pylist() if line["gap"] == "demographic parity difference")
    assert line["at this threshold"] != line["as judged"]
    hollow = [trace for trace in rates.figure.data if trace.marker.symbol == "circle-open"]
    judged = [row.value for row in check.rows if (row.metric, row.attribute) == ("selection_rate", "sex")]
    assert list(hollow[0].x) == judged
    label, now, before = threshold_cards(rows, check.rows, "sex")[0]
    assert (label, now.value, before.value) == ("Selection rate", (SCORES >= 0.3).mean(), (SCORES >= 0.5).mean())
