"""The matrix of the documentation is what a run gives, cell by cell."""

from pathlib import Path

import pytest

from tests.journeys.matrix import PARTS
from tests.journeys.matrix.cases import Case, outcome
from tests.journeys.matrix.page import PAGE, read, write

CASES = [case for cases in PARTS.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_page_says_what_a_run_gives(case: Case, tmp_path: Path) -> None:
    assert outcome(case, tmp_path) == read(PAGE.read_text(encoding="utf-8"))[case.name]


def test_the_page_holds_all_cases_and_no_other() -> None:
    assert list(read(PAGE.read_text(encoding="utf-8"))) == [case.name for case in CASES]


def test_a_page_is_read_as_it_was_written() -> None:
    row = dict.fromkeys(("performance", "fairness", "attribution", "activations", "ood", "energy"), "yes")
    parts = {
        "One": {"a": row, "b": row | {"ood": "no reason", "energy": "none"}},
        "Two": {"c": row | {"energy": "none"}},
    }
    assert read(write(parts)) == {name: cells for cases in parts.values() for name, cells in cases.items()}
