"""Rankings by group: attention by hand and by brute force, NDCG of scikit-learn, intervals and tests that hold."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow, select
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.outcomes.attention import alike_p_value, candidate_replicates, totals
from auditkit.fairness.outcomes.positions import Positions, geometric, logarithmic, ndcg, right_pairs, top
from auditkit.fairness.outcomes.ranked import Rankings
from auditkit.fairness.outcomes.rankings import ranking_findings
from auditkit.fairness.outcomes.rankings_view import ranking_sections
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

QUICK = Settings(replicates=400)


def people(codes: np.ndarray, names: str = "abcdefgh") -> GroupCodes:
    return GroupCodes(("sex",), tuple((name,) for name in names[: int(codes.max()) + 1]), codes.astype(np.int64), {})


def only(rows: list[MetricRow], **where: str) -> MetricRow:
    (row,) = select(rows, **where)
    return row


def one(n: int) -> np.ndarray:
    return np.zeros(n, dtype=np.int64)


def test_exposure_and_top_k_by_hand() -> None:
    """Ranks 1 to 4 are worth 1, 1/log2(3), 1/2 and 1/log2(5); group a holds 1 and 4."""
    codes, scores = np.array([1, 0, 0, 1]), np.array([0.8, 0.9, 0.1, 0.5])
    ranked = Rankings.of(codes, scores, None, one(4), 2)
    worth = np.array([1.0, 1 / np.log2(3), 0.5, 1 / np.log2(5)])
    found = totals(ranked.positions, ranked.codes, 2, logarithmic(4), None)
    np.testing.assert_allclose(found.got[0], [worth[0] + worth[3], worth[1] + worth[2]], rtol=1e-14)
    np.testing.assert_allclose(found.due[0], [worth.sum() / 2] * 2, rtol=1e-14)
    assert totals(ranked.positions, ranked.codes, 2, top(3, 4), None).got.tolist() == [[1.0, 2.0]]
    np.testing.assert_allclose(np.diff(geometric(3)), [1, 0.8, 0.64], rtol=1e-14)


def test_exposure_per_relevance_is_that_of_singh_and_joachims() -> None:
    """Disparate treatment: each group's mean exposure over its mean relevance, one over the other."""
    rng = np.random.default_rng(0)
    codes, scores, relevance = np.tile([0, 1], 40), rng.random(80), rng.random(80)
    found = ranking_findings(people(codes), scores, relevance, settings=QUICK, top=[10])
    exposure = np.zeros(80)
    exposure[np.argsort(-scores)] = 1 / np.log2(1 + np.arange(1, 81))
    per = [exposure[codes == group].mean() / relevance[codes == group].mean() for group in (0, 1)]
    assert only(found.metrics, metric="exposure_per_relevance_ratio").value == pytest.approx(
        min(per) / max(per), rel=1e-9
    )
    mean = [exposure[codes == group].mean() for group in (0, 1)]
    assert only(found.metrics, metric="exposure_ratio").value == pytest.approx(min(mean) / max(mean), rel=1e-9)
    first = np.argsort(-scores)[:10]
    taken = [(codes[first] == group).sum() for group in (0, 1)]
    assert only(found.metrics, metric="top_10_ratio").value == pytest.approx(min(taken) / max(taken), rel=1e-9)


def test_ties_share_positions_as_over_all_ways_to_break_them() -> None:
    scores, worth = np.array([2.0, 1.0, 1.0, 1.0, 0.0]), np.diff(logarithmic(5))
    expected = np.zeros(5)
    for order in permutations(range(1, 4)):
        expected += np.array([worth[0], *worth[list(order)], worth[4]]) / 6
    np.testing.assert_allclose(Positions.of(scores, one(5)).attention(logarithmic(5)), expected, rtol=1e-14)
    assert Positions.of(scores, one(5)).attention(top(2, 5)).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_ndcg_is_that_of_scikit_learn(seed: int, tied: bool) -> None:
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    scores = rng.integers(0, 4, (5, n)).astype(float) if tied else rng.random((5, n))
    relevance = rng.integers(0, 4, (5, n)).astype(float)
    relevance[:, 0] = 1
    positions = Positions.of(scores.ravel(), np.repeat(np.arange(5), n))
    found = ndcg(positions, relevance.ravel()[positions.order])
    np.testing.assert_allclose(
        found, [ndcg_score([r], [s]) for r, s in zip(relevance, scores, strict=True)], rtol=1e-12
    )


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_pairs_are_those_counted_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    scores, query = rng.integers(0, 8, n).astype(float), np.sort(np.r_[rng.integers(0, 3, n - 3), 0, 1, 2])
    relevance, codes = rng.integers(0, 3, n).astype(float), rng.integers(0, 3, n)
    right, every = np.zeros((2, 3, 3))
    for a in range(n):
        for b in range(n):
            if query[a] == query[b] and relevance[a] > relevance[b] and codes[a] != codes[b]:
                every[query[a], codes[a]] += 1
                right[query[a], codes[a]] += (scores[a] > scores[b]) + (scores[a] == scores[b]) / 2
    found = right_pairs(scores, query, relevance, codes, 3)
    np.testing.assert_allclose(found[0], right)
    np.testing.assert_allclose(found[1], every)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=15, deadline=None)
def test_findings_do_not_depend_on_the_order_of_rows_nor_on_names_of_queries(seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    codes, query = rng.integers(2, size=240), rng.integers(12, size=240)
    scores = rng.integers(0, 5, 240).astype(float) if tied else rng.random(240)
    relevance, order = rng.integers(0, 3, 240).astype(float), rng.permutation(240)
    found = ranking_findings(people(codes), scores, relevance, query, [5], QUICK).metrics
    named = np.array([f"query {at:02d}" for at in query])[order]
    again = ranking_findings(people(codes[order]), scores[order], relevance[order], list(named), [5], QUICK).metrics
    for first, second in zip(found, again, strict=True):
        assert (first.metric, first.group, first.status) == (second.metric, second.group, second.status)
        if first.value is not None and "p_value" not in first.metric:
            assert first.value == pytest.approx(second.value, rel=1e-9)


def test_positions_are_scores_that_rise_the_other_way() -> None:
    rng = np.random.default_rng(0)
    codes, scores = np.tile([0, 1], 50), rng.random(100)
    ranks = np.argsort(np.argsort(-scores)) + 1
    by_score = ranking_findings(people(codes), scores, settings=QUICK, top=[10]).metrics
    by_rank = ranking_findings(people(codes), ranks, settings=QUICK, top=[10], positions=True).metrics
    assert by_score == by_rank


def test_a_group_put_last_fails_gates_by_name_and_a_fair_ranking_passes() -> None:
    rng = np.random.default_rng(1)
    codes, query = np.tile([0, 1], 3000), np.repeat(np.arange(200), 30)
    policy = {"exposure_ratio": Gate(at_least=0.8), "top_10_ratio": Gate(at_least=0.8)}
    fair = ranking_findings(people(codes), rng.random(6000), query=query, settings=QUICK, top=[10])
    assert {result.verdict for result in judge(fair.metrics, policy)} == {"pass"}
    unfair = ranking_findings(people(codes), rng.random(6000) - 0.8 * codes, query=query, settings=QUICK, top=[10])
    assert {result.verdict for result in judge(unfair.metrics, policy)} == {"fail"}
    assert only(unfair.metrics, metric="exposure_p_value").value < 0.01
    assert judge(unfair.metrics, {"exposure_p_value": Gate(at_least=0.05)})[0].verdict == "missing"


def test_a_group_without_a_place_has_a_ratio_of_zero_and_an_honest_upper_bound() -> None:
    codes = np.r_[np.zeros(10), np.tile([0, 1], 45)].astype(int)
    found = ranking_findings(people(codes), -np.arange(100.0), settings=QUICK, top=[10]).metrics
    row = only(found, metric="top_10_ratio")
    assert (row.value, row.lower) == (0.0, 0.0)
    assert 0.1 < row.upper <= 1.0


def test_what_cannot_be_judged_says_why_and_never_passes() -> None:
    rng = np.random.default_rng(0)
    codes = np.r_[np.zeros(60), np.ones(60), np.full(5, 2)].astype(int)
    found = ranking_findings(people(codes), rng.random(125), rng.random(125), settings=QUICK, top=[10, 500]).metrics
    assert only(found, metric="exposure_ratio").unjudged == ("c",)
    assert judge(found, {"exposure_ratio": Gate(at_least=0.01)})[0].verdict == "inconclusive"
    assert "no ranking has more than 500" in only(found, metric="top_500_ratio").reason
    assert "about 9 places" in only(found, metric="geometric_exposure_ratio").reason
    assert "125 levels" in only(found, metric="pairwise_accuracy", group="a").reason
    for name in ("top_500_ratio", "geometric_exposure_ratio", "pairwise_accuracy_difference", "ndcg_difference"):
        limit = Gate(at_most=1.0) if "difference" in name else Gate(at_least=0.0)
        assert judge(found, {name: limit})[0].verdict in ("inconclusive", "missing")


def test_queries_of_one_group_each_tell_ndcg_by_group_but_nothing_of_exposure() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(60), 20)
    codes, relevance = query % 2, rng.integers(0, 2, 1200).astype(float)
    scores = np.where(codes == 0, relevance + rng.random(1200), rng.random(1200))
    found = ranking_findings(people(codes), scores, relevance, query, [5], QUICK).metrics
    assert only(found, metric="ndcg", group="a").value == pytest.approx(1.0)
    row = only(found, metric="ndcg_difference")
    assert row.detail == "a – b"
    assert row.lower > 0.1
    assert "does not vary" in only(found, metric="exposure_ratio").reason
    mixed = ranking_findings(people(codes[::-1].copy() * (query > 0)), scores, relevance, query * 0, [5], QUICK).metrics
    assert only(mixed, metric="ndcg_difference").status == "not applicable"


def test_input_that_is_no_ranking_is_refused() -> None:
    codes, scores = people(np.tile([0, 1], 40)), np.arange(80.0)
    with pytest.raises(InputError, match="relevance is negative in 1 of 80 rows, first in row 1"):
        ranking_findings(codes, scores, scores - 1, settings=QUICK)
    with pytest.raises(InputError, match="0 is no number of places"):
        ranking_findings(codes, scores, top=[0], settings=QUICK)
    with pytest.raises(InputError, match="query is missing"):
        ranking_findings(codes, scores, query=[None, *range(79)], settings=QUICK)
    with pytest.raises(InputError, match="query has 79 rows"):
        ranking_findings(codes, scores, query=np.arange(79), settings=QUICK)
    with pytest.raises(InputError, match="scores are missing or infinite"):
        ranking_findings(codes, np.where(scores == 3, np.nan, scores), settings=QUICK)


def test_the_p_value_of_two_groups_is_that_of_the_hypergeometric_distribution() -> None:
    """8 of the first 10 places for 30 of 60 candidates: both tails of the exact distribution."""
    from scipy.stats import hypergeom

    codes = np.repeat([0, 1, 0, 1], [8, 2, 22, 28])
    ranked = Rankings.of(codes, -np.arange(60.0), None, one(60), 2)
    attention = ranked.positions.attention(top(10, 60))
    exact = 2 * hypergeom(60, 30, 10).sf(7)
    p, draws, _ = alike_p_value(ranked.positions, ranked.codes, 2, attention, np.random.default_rng(0), 1000)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / draws))


def test_beyond_dealing_out_the_normal_takes_over_and_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    codes, query = rng.integers(3, size=3000), np.repeat(np.arange(60), 50)
    ranked = Rankings.of(codes, rng.random(3000) + 0.06 * (codes == 0), None, query, 3)
    attention = ranked.positions.attention(logarithmic(50))
    dealt = alike_p_value(ranked.positions, ranked.codes, 3, attention, np.random.default_rng(0), 1000)
    monkeypatch.setattr("auditkit.fairness.outcomes.attention.EXACT_ROWS", 100)
    normal = alike_p_value(ranked.positions, ranked.codes, 3, attention, np.random.default_rng(0), 10_000)
    assert "normal" in normal[2]
    assert normal[0] == pytest.approx(dealt[0], abs=0.03)


@pytest.mark.parametrize(("queries", "each"), [(1, 200), (40, 15)])
def test_gaps_reach_equality_where_groups_are_alike_and_tests_keep_their_level(queries: int, each: int) -> None:
    rng, samples = np.random.default_rng(7), 100
    query = np.repeat(np.arange(queries), each)
    held: dict[str, int] = {"exposure_ratio": 0, "top_10_ratio": 0}
    rejected = 0
    few = Settings(replicates=200)
    for _ in range(samples):
        codes = rng.integers(3, size=len(query))
        found = ranking_findings(people(codes), rng.random(len(query)), query=query, top=[10], settings=few).metrics
        for name in held:
            held[name] += only(found, metric=name).upper == pytest.approx(1.0)
        rejected += only(found, metric="exposure_p_value").value <= 0.05
    assert min(held.values()) >= 90
    assert rejected <= 11


def test_the_true_exposure_ratio_lies_within_its_interval() -> None:
    """Two groups half a standard deviation apart in lists of 20; the truth from 10,000 lists."""
    rng = np.random.default_rng(3)

    def lists(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = rng.integers(2, size=20 * count)
        return codes, rng.normal(size=20 * count) + 0.5 * codes, np.repeat(np.arange(count), 20)

    codes, scores, query = lists(10_000)
    ranked = Rankings.of(codes, scores, None, query, 2)
    true = totals(ranked.positions, ranked.codes, 2, logarithmic(20), None).ratio()
    inside, few = 0, Settings(replicates=200)
    for _ in range(100):
        codes, scores, query = lists(60)
        row = only(ranking_findings(people(codes), scores, query=query, top=[], settings=few).metrics,
                   metric="exposure_ratio")  # fmt: skip
        inside += row.lower <= true[0] / true[1] <= row.upper
    assert inside >= 90


@pytest.mark.parametrize("by_relevance", [False, True])
def test_candidates_drawn_together_vary_as_they_do_one_by_one(
    monkeypatch: pytest.MonkeyPatch, by_relevance: bool
) -> None:
    rng = np.random.default_rng(0)
    codes, relevance = rng.integers(2, size=6000), rng.random(6000)
    ranked = Rankings.of(codes, rng.normal(size=6000) + 0.2 * codes, relevance, np.repeat([0, 1], [4000, 2000]), 2)
    worth = ranked.relevance if by_relevance else None
    spreads = []
    for single in (10_000, 100):
        monkeypatch.setattr("auditkit.fairness.outcomes.attention.SINGLE_ROWS", single)
        for cumulative in (logarithmic(4000), top(700, 4000)):
            drawn = candidate_replicates(ranked.positions, ranked.codes, 2, cumulative, worth, rng, 600)
            logs = np.log(drawn[0] / drawn[1])
            spreads.append((logs.mean(axis=1), logs.std(axis=1)))
    for one_by_one, together in ((0, 2), (1, 3)):
        np.testing.assert_allclose(spreads[together][1], spreads[one_by_one][1], rtol=0.15)
        assert np.abs(spreads[together][0] - spreads[one_by_one][0]).max() < 0.25 * spreads[one_by_one][1].max()


def test_lists_too_short_for_the_first_places_and_ties_are_told() -> None:
    rng = np.random.default_rng(0)
    query = np.r_[np.repeat(np.arange(20), 30), np.repeat(np.arange(20, 60), 4)]
    codes, scores = rng.integers(2, size=len(query)), rng.integers(3, size=len(query)).astype(float)
    found = ranking_findings(people(codes), scores, np.zeros(len(query)), query, [10], QUICK)
    text = " ".join(caveat.text for caveat in found.caveats)
    assert "top 10: 40 of 60 rankings have no more than 10 candidates" in text
    assert "share a score" in text
    assert "60 of 60 rankings have nothing relevant" in text
    assert only(found.metrics, metric="exposure_per_relevance_ratio").status == "insufficient"
    places = found.tables["ranking_top"].to_pylist()
    assert sum(line["places"] for line in places) == pytest.approx(200.0)
    assert sum(line["candidates"] for line in places) == 600


def evidence(found: Findings) -> SimpleNamespace:
    tables = {f"fairness/{name}": table for name, table in found.tables.items()}
    return SimpleNamespace(rows=found.metrics, table=tables.get, caveats=found.caveats, info={})


def test_sections_show_every_group_and_escape_its_name() -> None:
    rng = np.random.default_rng(0)
    codes, query = rng.integers(2, size=600), np.repeat(np.arange(30), 20)
    groups = GroupCodes(("sex",), (("<b>x</b>",), ("y",)), codes, {})
    found = ranking_findings(groups, rng.random(600), rng.integers(0, 2, 600), query, [5, 10], QUICK)
    made = ranking_sections(evidence(found))
    assert [section.key for section in made] == ["ranking-gaps", "ranking-places-0", "ranking-numbers-0"]
    assert made[2].table.column("group").to_pylist() == ["<b>x</b>", "y"]
    assert "&lt;b&gt;x&lt;/b&gt;" in made[1].figure.layout.yaxis.ticktext[0]
    assert "top 5 ratio" in made[0].table.column("gap").to_pylist()
    assert ranking_sections(evidence(Findings())) == []
