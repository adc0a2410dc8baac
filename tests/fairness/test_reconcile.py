"""Tables of the same people must agree on what they share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.counting.reconcile import disagreement_caveats, reconcile
from auditkit.fairness.counting.suppression import suppress


def selections(attributes, table) -> Counts:
    """Counts from (applicants, selected); labels are not known and count as negative."""
    groups = tuple(sorted(table))
    cells = np.array([[[table[group][0] - table[group][1], table[group][1]], [0, 0]] for group in groups])
    return Counts(attributes, groups, cells)


# 6 RCNY § 5-301 (Local Law 144 of 2021), example of an automated tool that selects: applicants, selected
SEX = {("Male",): (1390, 667), ("Female",): (1181, 555)}
RACE = {
    ("Hispanic or Latino",): (408, 204),
    ("White",): (797, 412),
    ("Black or African American",): (390, 170),
    ("Native Hawaiian or Pacific Islander",): (119, 52),
    ("Asian",): (616, 302),
    ("Native American or Alaska Native",): (41, 18),
    ("Two or More Races",): (213, 96),
}
BOTH = {
    ("Hispanic or Latino", "Male"): (205, 90),
    ("Hispanic or Latino", "Female"): (190, 82),
    ("White", "Male"): (412, 215),
    ("White", "Female"): (385, 197),
    ("Black or African American", "Male"): (226, 95),
    ("Black or African American", "Female"): (164, 75),
    ("Native Hawaiian or Pacific Islander", "Male"): (87, 37),
    ("Native Hawaiian or Pacific Islander", "Female"): (32, 15),
    ("Asian", "Male"): (321, 167),
    ("Asian", "Female"): (295, 135),
    ("Native American or Alaska Native", "Male"): (24, 11),
    ("Native American or Alaska Native", "Female"): (17, 7),
    ("Two or More Races", "Male"): (115, 52),
    ("Two or More Races", "Female"): (98, 44),
}


def test_the_rules_own_example_does_not_reconcile():
    tables = {
        "by sex": selections(("sex",), SEX),
        "by race": selections(("race",), RACE),
        "by both": selections(("race", "sex"), BOTH),
    }
    found = {(each.first, each.second, each.group, each.quantity): (each.first_count, each.second_count)
             for each in reconcile(tables)}  # fmt: skip
    assert found == {
        ("by sex", "by race", "", "rows"): (2571, 2584),
        ("by sex", "by race", "", "positive decisions"): (1222, 1254),
        ("by race", "by both", "race Hispanic or Latino", "rows"): (408, 395),
        ("by race", "by both", "race Hispanic or Latino", "positive decisions"): (204, 172),
        ("by race", "by both", "", "rows"): (2584, 2571),
        ("by race", "by both", "", "positive decisions"): (1254, 1222),
    }
    texts = [caveat.text for caveat in disagreement_caveats(tables)]
    assert "counts do not reconcile: in total: 2,571 rows in 'by sex', 2,584 in 'by race' (-13)" in texts


def random_counts(seed) -> Counts:
    groups = tuple((sex, race, age) for sex in "fm" for race in "abc" for age in ("old", "young"))
    return Counts(("sex", "race", "age"), groups, np.random.default_rng(seed).integers(0, 50, (12, 2, 2)))


@given(seed=st.integers(0, 2**32 - 1), at=st.integers(0, 11), label=st.integers(0, 1), decision=st.integers(0, 1),
       by=st.integers(1, 9))  # fmt: skip
def test_margins_of_one_table_agree_and_one_more_row_is_found(seed, at, label, decision, by):
    counts = random_counts(seed)
    parts = {"sex": counts.margin(["sex"]), "sex and race": counts.margin(["sex", "race"]), "all": counts}
    assert reconcile(parts) == []
    cells = counts.cells.copy()
    cells[at, label, decision] += by
    found = reconcile(parts | {"all": Counts(counts.attributes, counts.groups, cells)})
    assert {each.second for each in found} == {"all"}
    assert {each.by for each in found} == {-by}
    sex, race, _ = counts.groups[at]
    assert {each.group for each in found} == {"", f"sex {sex}", f"race {race}", f"sex {sex}, race {race}"}
    expected = {"rows"} | ({"positive labels"} if label else set()) | ({"positive decisions"} if decision else set())
    assert {each.quantity for each in found} == expected


def test_a_group_that_one_table_lacks_is_a_difference():
    counts = random_counts(0)
    without = Counts(counts.attributes, counts.groups[1:], counts.cells[1:])
    found = reconcile({"whole": counts, "cut": without})
    assert any(each.group == "sex f, race a, age old" and each.second_count == 0 for each in found)


@pytest.mark.parametrize("seed", range(3))
def test_withheld_numbers_are_no_differences(seed):
    counts = random_counts(seed)
    assert reconcile({"whole": counts, "published": suppress(counts)}) == []
