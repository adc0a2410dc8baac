"""Representation against given shares: closed forms, refusals, planted and null cases."""

import numpy as np
import pytest

from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.counting.counts import Counts, Weights
from auditkit.fairness.population.representation import goodness_of_fit, representation_findings
from auditkit.fairness.population.view import representation_sections
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

EVEN = {"race": {"a": 0.5, "b": 0.3, "c": 0.2}}


def counted(**rows):
    names = sorted(rows)
    return Counts(("race",), tuple((n,) for n in names), np.array([[[rows[n], 0], [0, 0]] for n in names]))


class Evidence:
    def __init__(self, findings):
        self.rows, self.tables = findings.metrics, findings.tables

    def table(self, name):
        return self.tables.get(name.removeprefix("fairness/"))


def of(findings, metric):
    return select(findings.metrics, metric=metric)


def test_ratio_difference_and_goodmans_interval():
    found = representation_findings(counted(a=60, b=30, c=10), EVEN, Settings())
    ratios = {row.group: row for row in of(found, "representation_ratio")}
    assert [ratios[g].value for g in "abc"] == pytest.approx([1.2, 1.0, 0.5])
    b, n, p = 5.7308, 100, 0.1  # Goodman (1965): upper quantile of chi-square with 1 df at 0.05/3
    root = np.sqrt(b * (b + 4 * n * p * (1 - p)))
    assert ratios["c"].lower * 0.2 == pytest.approx((b + 2 * n * p - root) / (2 * (n + b)), abs=1e-4)
    assert ratios["c"].upper * 0.2 == pytest.approx((b + 2 * n * p + root) / (2 * (n + b)), abs=1e-4)
    assert of(found, "representation_difference")[0].value == pytest.approx(0.1)
    assert of(found, "smallest_representation_ratio")[0].value == pytest.approx(0.5)


def test_chi_square_and_its_exact_distribution():
    p, name = goodness_of_fit(np.array([60, 30, 10]), np.array([0.5, 0.3, 0.2]), np.random.default_rng(0))
    assert p == pytest.approx(np.exp(-7 / 2))
    assert "2 degrees" in name
    # 4 of 6 with shares 1/2: both ends at least as far from 3 as 4 is: 1 - 20/64
    p, name = goodness_of_fit(np.array([4, 2]), np.array([0.5, 0.5]), np.random.default_rng(0), 40_000)
    assert p == pytest.approx(44 / 64, abs=0.01)
    assert "exact" in name


def test_groups_without_a_row_are_named_and_fail_the_gate():
    found = representation_findings(counted(a=700, b=300), EVEN, Settings())
    row = next(row for row in of(found, "representation_ratio") if row.group == "c")
    assert row.value == 0
    assert 0 < row.upper < 0.1
    assert row.n == 0
    assert any("without a single row: c" in caveat.text for caveat in found.caveats)
    verdicts = judge(found.metrics, {"smallest_representation_ratio": Gate(at_least=0.8)})
    assert verdicts[0].verdict == "fail"
    section = representation_sections(Evidence(found))[0]
    assert "Without a single row: c" in section.finding
    assert section.figure is not None


@pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.3, "c": 0.1}, {"a": 0.5, "b": 0.3, "c": 0.206}])
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(InputError, match="add up to"):
        representation_findings(counted(a=50, b=30, c=20), {"race": shares}, Settings())


def test_near_misses_are_brought_to_one_with_a_caveat():
    found = representation_findings(counted(a=50, b=30, c=20), {"race": {"a": 0.5, "b": 0.3, "c": 0.204}}, Settings())
    assert any("1.004" in caveat.text for caveat in found.caveats)
    assert sum(found.tables["representation"]["population"].to_pylist()) == pytest.approx(1)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'race'"):
        representation_findings(counted(a=50, b=30), {"rase": {"a": 1.0}}, Settings())
    with pytest.raises(InputError, match=r"'Black'.*did you mean 'black'"):
        representation_findings(counted(Black=50, White=50), {"race": {"black": 0.5, "White": 0.5}}, Settings())
    with pytest.raises(InputError, match="from 0 to 1"):
        representation_findings(counted(a=50, b=50), {"race": {"a": float("nan"), "b": 0.5}}, Settings())
    with pytest.raises(InputError, match="share of 0 but 50 rows"):
        representation_findings(counted(a=50, b=50), {"race": {"a": 0.0, "b": 1.0}}, Settings())


def test_rows_without_a_value_are_counted_and_left_out():
    found = representation_findings(counted(a=60, b=40, **{"(missing)": 7}), {"race": {"a": 0.6, "b": 0.4}}, Settings())
    assert any("7 rows without a value" in caveat.text for caveat in found.caveats)
    assert of(found, "representation_difference")[0].value == pytest.approx(0)


def test_too_few_or_weighted_rows_are_not_judged():
    few = representation_findings(counted(a=6, b=4), {"race": {"a": 0.5, "b": 0.5}}, Settings())
    assert {row.status for row in few.metrics} == {"insufficient"}
    assert representation_sections(Evidence(few))[0].finding.startswith("Representation by race is not judged")
    plain = counted(a=60, b=40)
    weighted = Counts(plain.attributes, plain.groups, plain.cells, Weights(plain.cells * 2.0, plain.cells * 4.0))
    found = representation_findings(weighted, {"race": {"a": 0.5, "b": 0.5}}, Settings())
    assert {row.status for row in found.metrics} == {"not applicable"}


def test_all_intervals_hold_together_and_the_test_keeps_its_level():
    rng, shares = np.random.default_rng(7), np.array([0.5, 0.3, 0.15, 0.05])
    given = {"race": dict(zip("abcd", shares.tolist(), strict=True))}
    covered = rejected = 0
    for _ in range(300):
        drawn = rng.multinomial(400, shares)
        found = representation_findings(counted(**dict(zip("abcd", drawn.tolist(), strict=True))), given, Settings())
        covered += all(row.lower <= 1 <= row.upper for row in of(found, "representation_ratio"))
        rejected += of(found, "representation_p_value")[0].value < 0.05
    assert covered / 300 >= 0.93
    assert rejected / 300 <= 0.08
