"""A release against the last: identical rows, group by group."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv
from scipy.stats import binomtest

from auditkit import InputError, check_fairness
from auditkit.cli import main
from auditkit.fairness.release import compare_releases, mcnemar
from auditkit.fairness.release_view import release_section


def one(check, metric, group="", attribute=""):
    found = [row for row in check.metrics if (row.metric, row.group, row.attribute) == (metric, group, attribute)]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def releases():
    """A new model that is worse for f by about 8 points and as good as it was for m."""
    rng = np.random.default_rng(0)
    sex, truth = rng.choice(["f", "m"], 4000), rng.integers(0, 2, 4000)
    old = np.where(rng.random(4000) < 0.2, 1 - truth, truth)
    spoiled = (sex == "f") & (rng.random(4000) < 0.13)
    redrawn = (sex == "m") & (rng.random(4000) < 0.1)
    as_good = np.where(rng.random(4000) < 0.2, 1 - truth, truth)
    new = np.where(spoiled, 1 - old, np.where(redrawn, as_good, old))
    return truth, old, new, {"sex": sex}


def test_changes_are_those_of_the_rows(releases):
    truth, old, new, groups = releases
    check = compare_releases(truth, old, new, sensitive_features=groups)
    for group in ("f", "m"):
        mine = groups["sex"] == group
        t, o, n = truth[mine], old[mine], new[mine]
        assert one(check, "churn", group, "sex").value == pytest.approx((o != n).mean())
        assert one(check, "accuracy_change", group, "sex").value == pytest.approx((n == t).mean() - (o == t).mean())
        change = one(check, "true_positive_rate_change", group, "sex")
        assert change.value == pytest.approx(n[t == 1].mean() - o[t == 1].mean())
        assert change.lower <= change.value <= change.upper
    everybody = one(check, "selection_rate_change")
    assert everybody.value == pytest.approx(new.mean() - old.mean())


def test_the_group_that_got_worse_is_named_and_no_other(releases):
    truth, old, new, groups = releases
    check = compare_releases(truth, old, new, sensitive_features=groups)
    assert "f (sex)" in check.worse
    assert not any("m (sex)" in name for name in (*check.worse, *check.better))
    assert "less accurate for" in check.sentence


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(worse, better):
    expected = 1.0 if worse + better == 0 else binomtest(worse, worse + better).pvalue
    assert mcnemar(worse, better) == pytest.approx(expected, abs=1e-10)


def test_without_a_change_nothing_is_found_and_nothing_is_certain():
    truth = np.arange(400) % 2
    groups = {"sex": np.array(["f", "m"])[np.arange(400) // 2 % 2]}
    check = compare_releases(truth, truth, truth, sensitive_features=groups)
    assert (check.worse, check.better) == ((), ())
    row = one(check, "accuracy_change", "f", "sex")
    assert row.lower < 0 == row.value < row.upper


def test_null_changes_are_seldom_called_changes():
    rng, called = np.random.default_rng(1), 0
    for _ in range(200):
        truth, groups = rng.integers(0, 2, 600), rng.choice(list("abcd"), 600)
        old, new = (np.where(rng.random(600) < 0.2, 1 - truth, truth) for _ in range(2))
        check = compare_releases(truth, old, new, sensitive_features={"g": groups}, replicates=200)
        called += bool(check.worse or check.better)
    assert called <= 17, "200 draws at 5 %: more than 17 has a chance of 1 in 50"


def test_intervals_of_changes_cover_as_often_as_they_say():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(300):
        truth = np.ones(800, dtype=int)
        old = (rng.random(800) < 0.8).astype(int)
        new = np.where(rng.random(800) < 0.1, 1 - old, old)
        groups = {"g": np.arange(800) % 2}
        check = compare_releases(
            np.r_[truth, 0],
            np.r_[old, 0],
            np.r_[new, 0],
            sensitive_features={"g": np.r_[groups["g"], 0]},
            replicates=400,
        )
        row = one(check, "true_positive_rate_change", "1", "g")
        covered += row.lower <= 0.1 * (0.2 - 0.8) <= row.upper
    assert 0.92 <= covered / 300 <= 0.98


def test_small_groups_are_named_and_not_judged():
    truth = np.arange(120) % 2
    groups = {"sex": np.array(["f"] * 110 + ["x"] * 10)}
    check = compare_releases(truth, truth, 1 - truth, sensitive_features=groups)
    assert check.unjudged == ("x (sex)",)
    assert one(check, "accuracy_change", "x", "sex").status == "insufficient"


def test_decisions_of_another_length_are_refused():
    with pytest.raises(InputError):
        compare_releases([0, 1] * 50, [0, 1] * 50, [0, 1] * 49, sensitive_features={"sex": ["f", "m"] * 50})


def test_a_check_tells_what_changed_and_a_policy_can_speak_of_it(releases, tmp_path, capsys):
    truth, old, new, groups = releases
    policy = {"accuracy_change": {"at_least": -0.02, "of": ["f", "m"]}}
    check = check_fairness(truth, new, sensitive_features=groups, previous=old, policy=policy)
    assert {result.subject: result.verdict for result in check.results}["sex · f"] == "fail"
    assert {result.subject: result.verdict for result in check.results}["sex · m"] != "fail"
    table = pa.table({"truth": truth, "old": old, "new": new, **groups})
    csv.write_csv(table, tmp_path / "table.csv")
    arguments = ["--label", "truth", "--prediction", "new", "--previous", "old", "--sensitive", "sex"]
    with pytest.raises(SystemExit):
        main(["fairness", str(tmp_path / "table.csv"), *arguments])
    said = capsys.readouterr().out
    assert "Against the last release" in said
    assert "less accurate for" in said


def test_the_report_reads_p_values_at_the_confidence_of_the_check(releases):
    truth, old, new, groups = releases
    for confidence in (0.95, 1 - 1e-12):
        check = check_fairness(truth, new, sensitive_features=groups, previous=old, confidence=confidence)
        told = release_section(check.rows).finding
        assert ("less accurate for" in told) == bool(check.release.worse)
