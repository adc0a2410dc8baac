"""Groups of different spellings are pointed out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditkit import check_fairness
from auditkit.fairness.counting.spelling import look_alikes


@given(st.lists(st.text(), max_size=8))
def test_every_name_stands_in_one_set_at_most(names):
    found = [name for spellings in look_alikes(names) for name in spellings]
    assert len(found) == len(set(found))
    assert set(found) <= set(names)


def test_names_that_differ_are_left_alone():
    assert look_alikes(["White", "Black", "17-25", "26-35", "+", "-"]) == []


def test_a_check_points_them_out():
    sex = np.array(["F", "f ", "M"])[np.arange(300) % 3]
    check = check_fairness(np.arange(300) % 2, np.arange(300) // 2 % 2, sensitive_features={"sex": sex})
    assert any("'F', 'f '" in caveat.text for caveat in check.caveats)
    assert {row.group for row in check.metrics if row.attribute == "sex" and row.group} == {"F", "f ", "M"}
