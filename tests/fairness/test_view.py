"""Sections say what the numbers say, and show every name as text."""

import json
from typing import Any

import numpy as np
import pytest

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.check import check_fairness
from auditkit.fairness.result import FairnessCheck
from auditkit.fairness.sentences import four_fifths_finding, widest_finding
from auditkit.fairness.view import sections

NASTY = "<script>alert(1)</script> \"'& 🙂 × \n"


def check_of(groups: dict[str, list[str]], gap: float = 0.4) -> FairnessCheck:
    n = len(next(iter(groups.values())))
    rng = np.random.default_rng(0)
    first = next(iter(groups.values()))
    share = 0.3 + gap * (np.array(first) == first[0])
    labels = rng.random(n) < 0.5
    return check_fairness(labels, rng.random(n) < share, sensitive_features=groups, replicates=500)


def test_findings_name_the_groups_and_the_gap() -> None:
    check = check_of({"sex": ["f", "m"] * 500, "age": ["old"] * 500 + ["young"] * 500})
    gaps, by_sex, _, crossed, *_ = sections(check)
    assert gaps.finding.startswith("The ratio of selection rates is below four-fifths by sex (0.4")
    assert "by age (" in gaps.finding
    assert by_sex.finding.startswith("By sex, the ")
    assert " for f against " in by_sex.finding
    assert crossed.title == "Intersections of sex and age"
    assert [section.key for section in sections(check)] == [
        "gaps",
        "rates-0",
        "rates-1",
        "intersection-0-1",
        "worst-group",
        "any-gap",
        "four-fifths",
        "inequality",
        "sensitivity",
    ]


def test_a_gap_that_may_be_chance_is_said_to_be() -> None:
    check = check_of({"sex": ["f", "m"] * 100}, gap=0.0)
    assert "could differ as much by chance" in widest_finding(check.rows, "sex")


def test_groups_that_are_not_judged_are_shown_as_such() -> None:
    check = check_of({"sex": ["f", "m"] * 500 + ["x"] * 5})
    gaps, by_sex, *_ = sections(check)
    assert "x" in gaps.table["not judged"].to_pylist()
    row = next(row for row in by_sex.table.to_pylist() if row["group"] == "x")
    assert row["selection rate"] == "not judged"
    assert "not judged" in {annotation.text for annotation in by_sex.figure.layout.annotations}


def test_nothing_judged_is_said_without_a_figure() -> None:
    check = check_of({"sex": ["f", "m"] * 10})
    gaps = sections(check)[0]
    assert gaps.figure is None
    assert gaps.finding == "The ratio of selection rates is not judged by sex."
    assert four_fifths_finding([], ["sex"]) == "No attribute could be compared."
    assert widest_finding([], "sex") == "By sex, fewer than two groups could be judged."


def test_names_reach_plotly_only_escaped() -> None:
    check = check_of({NASTY: [NASTY + "a", NASTY + "b"] * 200, "plain": ["x"] * 200 + ["y"] * 200})
    for section in sections(check):
        if section.figure is not None:
            content = json.dumps(json.loads(section.figure.to_json()), ensure_ascii=False)
            assert "<script" not in content
        assert section.key.replace("-", "").isalnum()
        assert section.table is not None


def test_every_figure_has_titles_and_a_reading() -> None:
    for section in sections(check_of({"sex": ["f", "m"] * 300, "age": (["o"] * 2 + ["y"] * 2) * 150})):
        assert section.how
        if section.figure is None:
            assert section.key in ("worst-group", "any-gap")
            continue
        assert section.figure.layout.title.text
        assert section.reading
        assert any(axis.title.text for axis in section.figure.select_xaxes())


class Empty:
    """Evidence without tables."""

    def __init__(self, rows: list[MetricRow]) -> None:
        self.rows, self.info, self.caveats = rows, {}, []

    def table(self, name: str) -> Any:
        return None


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        ([], []),
        ([MetricRow("performance", "accuracy", value=0.9)], []),
        ([MetricRow("fairness", "fairness", status="not applicable", reason="no groups")], ["Fairness"]),
    ],
)
def test_missing_evidence_gives_no_section_or_one_that_says_why(rows: list[MetricRow], titles: list[str]) -> None:
    assert [section.title for section in sections(Empty(rows))] == titles
