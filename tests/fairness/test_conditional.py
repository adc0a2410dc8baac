"""Gaps given a legitimate factor: closed forms, statsmodels as oracle, Berkeley 1973, planted and null cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.fairness.conditional.disparity import conditional_disparity
from auditkit.fairness.conditional.findings import conditional_findings
from auditkit.fairness.conditional.stratified import homogeneity, mantel_haenszel, simultaneous_critical
from auditkit.fairness.conditional.view import conditional_sections
from auditkit.fairness.counting.counts import Counts, Weights
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

BERKELEY = {  # Bickel, Hammel and O'Connell (1975): department → (men admitted, men, women admitted, women)
    "A": (512, 825, 89, 108), "B": (353, 560, 17, 25), "C": (120, 325, 202, 593),
    "D": (138, 417, 131, 375), "E": (53, 191, 94, 393), "F": (22, 373, 24, 341),
}  # fmt: skip
NAME = "conditional_demographic_parity_difference"


def counted(cells, attributes=("sex", "department")):
    """cells: group → (selected, rows), of whom all have a negative label."""
    groups = tuple(sorted(cells))
    table = np.array([[[cells[g][1] - cells[g][0], cells[g][0]], [0, 0]] for g in groups], dtype=np.int64)
    return Counts(attributes, groups, table)


def berkeley():
    cells = {("men", d): (m, n) for d, (m, n, _, _) in BERKELEY.items()}
    return counted(cells | {("women", d): (w, n) for d, (_, _, w, n) in BERKELEY.items()})


class Evidence:
    def __init__(self, findings):
        self.rows, self.tables = findings.metrics, findings.tables

    def table(self, name):
        return self.tables.get(name.removeprefix("fairness/"))


def one(findings, metric):
    (row,) = select(findings.metrics, metric=metric)
    return row


def strata(seed, k=5, high=200):
    rng = np.random.default_rng(seed)
    n1, n0 = rng.integers(5, high, k), rng.integers(5, high, k)
    return rng.binomial(n1, 0.4), n1, rng.binomial(n0, 0.3), n0


@pytest.mark.parametrize("seed", range(5))
def test_common_ratio_is_that_of_statsmodels(seed):
    stratified = pytest.importorskip("statsmodels.stats.contingency_tables")
    a, n1, b, n0 = strata(seed)
    tables = [np.array([[a[k], n1[k] - a[k]], [b[k], n0[k] - b[k]]]) for k in range(len(a))]
    found = mantel_haenszel(a, n1, b, n0)
    assert found.ratio == pytest.approx(stratified.StratifiedTable(tables).riskratio_pooled, rel=1e-12)


@given(st.integers(1, 80), st.integers(1, 80), st.data())
def test_one_stratum_is_the_unconditional_gap(n1, n0, data):
    a, b = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n0))
    found = mantel_haenszel([a], [n1], [b], [n0])
    assert found.difference == pytest.approx(a / n1 - b / n0, abs=1e-12)
    assert found.lower <= found.difference <= found.upper
    assert found.lower < found.upper
    if a and b:
        assert found.ratio == pytest.approx((a / n1) / (b / n0))
        spread = np.sqrt(1 / a - 1 / n1 + 1 / b - 1 / n0)  # Katz's logarithmic interval
        assert found.ratio_upper == pytest.approx(found.ratio * np.exp(1.96 * spread))


@given(st.integers(0, 10_000))
def test_swapping_groups_turns_the_sign_and_nothing_else(seed):
    a, n1, b, n0 = strata(seed, 3, 60)
    there, back = mantel_haenszel(a, n1, b, n0), mantel_haenszel(b, n0, a, n1)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower))


def test_satos_variance_of_one_large_stratum_is_the_usual_one():
    found = mantel_haenszel([400], [1000], [300], [1000])
    assert (found.upper - found.lower) / 2 / 1.96 == pytest.approx(np.sqrt(0.24 / 1000 + 0.21 / 1000), rel=1e-3)


@pytest.mark.parametrize(("k", "n", "effect"), [(4, 100, 0.1), (100, 6, 0.0), (100, 6, 0.2)])
def test_coverage_with_few_large_and_with_many_small_strata(k, n, effect):
    rng, covered, ratios = np.random.default_rng(k), 0, 0
    base = np.linspace(0.2, 0.6, k)
    for _ in range(400):
        n1, n0 = rng.integers(n // 2, n, k), rng.integers(n // 2, n, k)
        found = mantel_haenszel(rng.binomial(n1, base + effect), n1, rng.binomial(n0, base), n0)
        covered += found.lower <= effect <= found.upper
        same = mantel_haenszel(rng.binomial(n1, base * 1.3), n1, rng.binomial(n0, base), n0)
        ratios += same.ratio_lower <= 1.3 <= same.ratio_upper
    assert 0.92 <= covered / 400 <= 0.985
    assert 0.92 <= ratios / 400 <= 0.985


def test_homogeneity_keeps_its_level_and_finds_opposite_strata():
    rng = np.random.default_rng(3)
    base, n = np.array([0.1, 0.3, 0.5, 0.7]), np.full(4, 80)
    p = [homogeneity(rng.binomial(n, base + 0.1), n, rng.binomial(n, base), n).p_value for _ in range(600)]
    assert 0.025 <= np.mean(np.array(p) < 0.05) <= 0.08
    assert homogeneity([50, 20], [100, 100], [20, 50], [100, 100]).p_value < 1e-6
    assert homogeneity([5], [10], [3], [10]) is None


def test_berkeley_gap_vanishes_within_departments():
    found = conditional_findings(berkeley(), "department", Settings())
    pair = found.tables["conditional_pairs"].to_pylist()[0]
    assert pair["raw"] == pytest.approx(1198 / 2691 - 557 / 1835)
    assert pair["paradox"] == "vanishes"
    assert -0.05 < pair["lower"] < 0 < pair["upper"] + 0.02 < 0.05
    assert pair["common"] < 0.01 < pair["raw_lower"]
    assert judge(found.metrics, {NAME: Gate(at_most=0.1)})[0].verdict == "pass"
    assert any("not the same in all strata" in caveat.text for caveat in found.caveats)
    section = conditional_sections(Evidence(found))[0]
    assert "vanishes" in section.finding
    assert "conditioned on is department" in section.finding
    assert "hides" in section.how
    assert len(section.figure.data) == 2
    assert sum(section.figure.data[0].marker.symbol == np.array("diamond")) == 1


def test_a_reversed_gap_is_told_and_a_plain_one_is_not():
    cells = {("f", "x"): (90, 100), ("m", "x"): (800, 1000), ("f", "y"): (300, 1000), ("m", "y"): (15, 100)}
    pairs = conditional_findings(counted(cells), "department", Settings()).tables["conditional_pairs"]
    assert pairs.to_pylist()[0]["paradox"] == "reversed"
    same = {(s, d): (200 if s == "f" else 300, 500) for s in "fm" for d in "xy"}
    pairs = conditional_findings(counted(same), "department", Settings()).tables["conditional_pairs"]
    assert pairs.to_pylist()[0]["paradox"] == ""


def test_strata_with_one_group_are_named_and_left_out():
    cells = {("f", "x"): (50, 100), ("m", "x"): (50, 100), ("m", "only men"): (77, 77)}
    found = conditional_findings(counted(cells), "department", Settings())
    assert one(found, NAME).value == 0
    pair = found.tables["conditional_pairs"].to_pylist()[0]
    assert (pair["left_out"], pair["rows_left_out"], pair["strata"]) == (["only men"], 77, 1)
    assert any("77 of 277 rows: only men" in caveat.text for caveat in found.caveats)


def test_groups_that_cannot_be_compared_never_pass():
    apart = counted({("f", "x"): (50, 100), ("m", "y"): (50, 100)})
    assert judge(conditional_findings(apart, "department", Settings()).metrics, {NAME: Gate(at_most=0.9)})[
        0
    ].verdict == ("inconclusive")
    small = {("f", "x"): (500, 1000), ("m", "x"): (500, 1000), ("d", "x"): (5, 9)}
    row = one(conditional_findings(counted(small), "department", Settings()), NAME)
    assert row.unjudged == ("d",)
    assert judge([row], {NAME: Gate(at_most=0.9)})[0].verdict == "inconclusive"
    positives = one(conditional_findings(apart, "department", Settings()), "conditional_equal_opportunity_difference")
    assert positives.status == "insufficient"


def test_opposite_strata_show_in_the_worst_stratum():
    cells = {("f", "x"): (300, 500), ("m", "x"): (150, 500), ("f", "y"): (150, 500), ("m", "y"): (300, 500)}
    found = conditional_findings(counted(cells), "department", Settings())
    assert one(found, NAME).value == pytest.approx(0)
    worst = one(found, "conditional_demographic_parity_worst_stratum_difference")
    assert worst.value == pytest.approx(0.3)
    assert worst.lower > 0.2
    assert any("averages strata that disagree" in caveat.text for caveat in found.caveats)


def test_no_gap_is_claimed_under_parity_among_many_groups():
    rng, false = np.random.default_rng(5), 0
    for _ in range(150):
        cells = {}
        for group in "abcdef":
            for place, rate in enumerate((0.2, 0.4, 0.6)):
                n = int(rng.integers(20, 200))
                cells[group, str(place)] = (int(rng.binomial(n, rate)), n)
        false += one(conditional_findings(counted(cells), "department", Settings()), NAME).lower > 0
    assert false <= 14  # 5 % of 150, and two standard errors


def test_disparity_is_wachters_and_adds_up_to_zero():
    # Berkeley, from the definition in Wachter, Mittelstadt and Russell (2021)
    total = by_hand = 0.0
    for m, nm, w, nw in BERKELEY.values():
        by_hand += (nm + nw) * ((nw - w) / (nw - w + nm - m) - w / (w + m))
        total += nm + nw
    found = conditional_findings(berkeley(), "department", Settings())
    rows = {row.group: row for row in select(found.metrics, metric="conditional_demographic_disparity")}
    assert rows["women"].value == pytest.approx(by_hand / total)
    assert rows["men"].value == pytest.approx(-by_hand / total)
    assert conditional_disparity([[5, 0], [5, 0]], [[10, 9], [10, 9]])[0].left_out == 1
    assert conditional_disparity([[0], [0]], [[5], [5]]) is None


def test_weights_and_unknown_factors_are_refused():
    plain = berkeley()
    weighted = Counts(plain.attributes, plain.groups, plain.cells, Weights(plain.cells * 2.0, plain.cells * 4.0))
    row = one(conditional_findings(weighted, "department", Settings()), NAME)
    assert row.status == "not applicable"
    assert "weighted" in row.reason
    with pytest.raises(InputError, match="did you mean 'department'"):
        conditional_findings(plain, "departement", Settings())
    with pytest.raises(InputError, match="only attribute"):
        conditional_findings(plain.margin(["department"]), "department", Settings())


def test_bounds_widen_with_the_number_of_pairs():
    assert simultaneous_critical(1) == pytest.approx(1.95996, abs=1e-5)
    assert simultaneous_critical(45) > simultaneous_critical(10) > 2.8
