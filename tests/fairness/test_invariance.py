"""What must not matter does not: the order of rows, the chunks they come in, the seed of the resampling."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit import check_fairness
from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import Counts, encode_groups
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.derived import DERIVED
from auditkit.fairness.groups.inference import infer
from auditkit.fairness.result import FairnessCheck
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import parse_gates

POLICY = {
    "demographic_parity_difference": {"at_most": 0.1, "of": ["sex", "race"]},
    "equalized_odds_difference": {"at_most": 0.2},
    "four_fifths": {"at_least": 0.8, "of": ["sex", "race"]},
    "accuracy": {"at_least": 0.5, "of": ["race"]},
}


def people(rows: int, seed: int, effect: float = 0.0, scored: bool = True) -> pd.DataFrame:
    """`effect` is how many points less often one group is selected."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], rows), "race": rng.choice(list("abc"), rows, p=[0.6, 0.3, 0.1])}
    )
    table["label"] = (rng.random(rows) < 0.4).astype(int)
    chance = 0.25 + 0.4 * table["label"] - effect * (table["sex"] == "f")
    table["decision"] = (rng.random(rows) < chance).astype(int)
    if scored:
        table["score"] = np.clip(0.5 * table["decision"] + 0.5 * rng.random(rows), 0, 1)
    return table


def check(table: pd.DataFrame, seed: int = 0, **settings: object) -> FairnessCheck:
    scores = table.get("score")
    groups = table[["sex", "race"]]
    return check_fairness(
        table["label"], table["decision"], sensitive_features=groups, scores=scores, policy=POLICY, seed=seed,
        replicates=500, **settings,
    )  # fmt: skip


def verdicts(found: FairnessCheck) -> list[tuple[str, str, str]]:
    return [(result.gate, result.subject.split(" · ")[0], result.verdict) for result in found.results]


@given(st.integers(30, 300), st.integers(0, 10**6), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_changes_no_number(rows: int, seed: int, shuffler: object) -> None:
    table = people(rows, seed, scored=False)
    if min(table["label"].nunique(), table["sex"].nunique(), table["race"].nunique()) < 2:
        return
    order = list(range(rows))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    one, other = check(table), check(table.iloc[order])
    assert list(one.metrics) == list(other.metrics)
    assert one.results == other.results


def test_the_order_of_rows_with_scores_and_weights_changes_nothing_beyond_rounding() -> None:
    """Sums of numbers that are not whole differ in their last digits when added in another order."""
    table = people(2000, 3)
    table["weight"] = np.random.default_rng(0).gamma(2.0, 1.0, len(table))
    shuffled = table.sample(frac=1, random_state=1)
    for weighted in (False, True):
        one, other = (check(part, sample_weight=part["weight"] if weighted else None) for part in (table, shuffled))
        assert verdicts(one) == verdicts(other)
        for first, second in zip(one.metrics, other.metrics, strict=True):
            same = ("metric", "attribute", "group", "status", "n", "unjudged")
            assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]
            for name in ("value", "lower", "upper"):
                mine, yours = getattr(first, name), getattr(second, name)
                assert mine == yours == None or mine == pytest.approx(yours, abs=1e-9)  # noqa: E711


@given(st.integers(0, 10**6), st.lists(st.integers(0, 500), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_chunks_merged_are_the_whole(seed: int, cuts: list[int]) -> None:
    """Each chunk knows only the groups that occur in it."""
    table = people(500, seed)
    parts = [part for part in np.split(np.arange(500), sorted(cuts)) if len(part)]
    merged = _merged([_counts(table.iloc[part]) for part in parts])
    whole = _counts(table)
    assert merged.groups == whole.groups
    assert np.array_equal(merged.cells, whole.cells)
    one, other = (infer(counts, Settings(replicates=300)) for counts in (whole, merged))
    assert [*one.rates, *one.derived, *one.gaps] == [*other.rates, *other.derived, *other.gaps]
    gates = parse_gates(POLICY, "policy")
    assert judge([*one.rates, *one.gaps], gates) == judge([*other.rates, *other.gaps], gates)


def _groups(table: pd.DataFrame) -> dict[str, pa.Array]:
    return {name: pa.array(table[name]) for name in ("sex", "race")}


def _counts(table: pd.DataFrame) -> Counts:
    """The counts of some rows, also of a single group."""
    every = pd.concat([table, pd.DataFrame({"sex": ["f", "m"], "race": ["a", "b"]})])
    groups = encode_groups(_groups(every), "chunk")
    truth, decision = (table[name].to_numpy() == 1 for name in ("label", "decision"))
    counts = Counts.tally(groups, truth, decision, np.arange(len(table)))
    kept = counts.cells.sum(axis=(1, 2)) > 0
    return Counts(
        counts.attributes,
        tuple(group for group, keep in zip(counts.groups, kept, strict=True) if keep),
        counts.cells[kept],
    )


def _merged(parts: list[Counts]) -> Counts:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    return whole


def test_chunks_of_scores_merged_are_the_whole() -> None:
    table = people(900, 5)
    groups = encode_groups(_groups(table), "people")
    truth, scores = table["label"].to_numpy() == 1, table["score"].to_numpy()
    whole = ScoreCounts.tally(groups, truth, scores)
    parts = [ScoreCounts.tally(groups, truth[rows], scores[rows], rows=rows) for rows in np.split(np.arange(900), 9)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert np.array_equal(merged.cells, whole.cells)
    assert merged.sums == pytest.approx(whole.sums, abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "effect", "expected"),
    [(60_000, 0.0, "pass"), (8000, 0.22, "fail"), (300, 0.0, "inconclusive")],
)
def test_twenty_seeds_give_one_verdict(rows: int, effect: float, expected: str) -> None:
    """Tables that do not lie on the edge of a limit: the same verdict on every gate whatever the seed."""
    table = people(rows, 7, effect, scored=False)
    found = [check(table, seed) for seed in range(20)]
    assert {one.verdict for one in found} == {expected}
    assert len({tuple(verdicts(one)) for one in found}) == 1


def test_a_seed_moves_intervals_and_no_value() -> None:
    one, other = (check(people(3000, 1), seed) for seed in (0, 1))
    assert [row.value for row in _values(one)] == [row.value for row in _values(other)]
    assert [row.lower for row in _values(one)] != [row.lower for row in _values(other)]


def _values(found: FairnessCheck) -> list[MetricRow]:
    """Rates, derived metrics and gaps; p-values and what would change a verdict are simulated."""
    return [row for row in found.metrics if row.metric in {**RATES, **DERIVED, **GAPS}]
