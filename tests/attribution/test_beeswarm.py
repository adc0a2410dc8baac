"""The beeswarm: every row a dot where its attribution is, coloured by its value; hostile names are text."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from auditkit.attribution.beeswarm import MOST, SHOWN, beeswarm, beeswarm_section, stacked

HOSTILE = "<script>alert(1)</script>"
METHODS = pa.table({"method": ["m"], "title": ["The method"], "status": ["valid"]})


def evidence_of(values: dict[str, list[float]], said: dict[str, list[str | None]], kinds: dict[str, str]):
    """Explanations, inputs and baseline of rows 10, 11, … from values by column."""
    n = len(next(iter(values.values())))
    rows, columns = [10 + row for row in range(n)], list(values)
    lines = [(row, column) for row in range(n) for column in columns]
    where = {"row": [rows[row] for row, _ in lines], "column": [column for _, column in lines]}
    tables = {
        "attribution/explanations": pa.table(
            {"method": ["m"] * len(lines), **where, "value": [values[column][row] for row, column in lines]}
        ),
        "attribution/inputs": pa.table(
            {**where, "value": pa.array([said[column][row] for row, column in lines], pa.string())}
        ),
        "attribution/baseline": pa.table({"column": columns, "kind": [kinds[column] for column in columns]}),
    }
    return SimpleNamespace(table=tables.get, info={})


def figure_of(evidence):
    names = ("explanations", "inputs", "baseline")
    return beeswarm(*(evidence.table(f"attribution/{name}") for name in names), METHODS, "m")


@pytest.fixture
def evidence():
    return evidence_of(
        {"small": [0.1, -0.1, 0.0], "large": [3.0, -2.0, 1.0], HOSTILE: [0.5, 0.5, 0.5]},
        {"small": ["1", "1", None], "large": ["30", "10", "20"], HOSTILE: [HOSTILE, "b", "7"]},
        {"small": "numeric", "large": "numeric", HOSTILE: "categorical"},
    )


def dots(figure):
    return [trace for trace in figure.data if trace.x[0] is not None]


def test_every_row_is_a_dot_at_its_attribution_and_the_weightiest_column_stands_first(evidence):
    figure = figure_of(evidence)
    assert [text.split("&")[0] for text in figure.layout.yaxis.ticktext] == ["large", "", "small"]
    first = dots(figure)[0]
    assert list(first.x) == [3.0, -2.0, 1.0]
    assert [text.split(",")[0] for text in first.customdata] == ["row 10", "row 11", "row 12"]
    assert sum(len(trace.x) for trace in dots(figure)) == 9


def test_colour_is_the_values_rank_and_what_has_no_order_is_grey(evidence):
    first, categories, *small = dots(figure_of(evidence))
    assert list(first.marker.color) == [1.0, 0.0, 0.5]
    assert isinstance(categories.marker.color, str), "categories that look like numbers have no order"
    grey, coloured = small
    assert isinstance(grey.marker.color, str)
    assert list(grey.x) == [0.0]
    assert "missing" in grey.customdata[0]
    assert list(coloured.marker.color) == [0.5, 0.5], "a column that is always the same is neither low nor high"


def test_hostile_names_and_values_are_text(evidence):
    assert "<script>" not in json.dumps(json.loads(figure_of(evidence).to_json())).replace("\\u003c", "<")


def test_near_dots_are_moved_apart_the_same_each_time_and_stay_in_their_column():
    across = np.random.default_rng(0).normal(size=500)
    found = stacked(across, across.min(), across.max(), 3)
    np.testing.assert_array_equal(found, stacked(across, across.min(), across.max(), 3))
    assert 0.3 < np.abs(found).max() <= 0.42
    places = np.floor((across - across.min()) / (across.max() - across.min()) * 120)
    assert len({*zip(places, found, strict=True)}) == 500, "no dot hides another"
    assert (stacked(np.zeros(1), 0.0, 0.0, 0) == 0).all()


def test_many_columns_and_rows_are_bounded_and_counted():
    n, names = MOST + 5, [f"c{place:02}" for place in range(SHOWN + 3)]
    many = evidence_of(
        {name: [float(place)] * n for place, name in enumerate(names)},
        {name: ["1"] * n for name in names},
        dict.fromkeys(names, "numeric"),
    )
    (section,) = beeswarm_section(many, METHODS, "m")
    assert len(section.figure.layout.yaxis.ticktext) == SHOWN
    assert all(len(trace.x) == MOST for trace in dots(section.figure))
    assert "first 1,000 explained rows of 1,005" in section.finding
    assert f"{SHOWN} of {len(names)} columns" in section.reading


def test_without_columns_there_is_no_section(evidence):
    words = SimpleNamespace(table={"attribution/explanations": pa.table({"word": ["a"], "value": [1.0]})}.get)
    assert beeswarm_section(words, METHODS, "m") == []
    assert beeswarm_section(SimpleNamespace(table=lambda name: None), METHODS, "m") == []
    assert beeswarm_section(evidence, METHODS, "another") == []


def test_audits_without_inputs_or_baseline_are_drawn_grey(evidence):
    bare = beeswarm(evidence.table("attribution/explanations"), None, None, METHODS, "m")
    assert all(isinstance(trace.marker.color, str) for trace in dots(bare))


def test_the_finding_says_which_way_columns_work_as_the_evidence_says(evidence):
    kept = pa.table({"method": ["m"] * 3, "column": ["small", "large", HOSTILE], "rank": [0.2, -0.9, None]})
    tables = lambda name: kept if name == "attribution/directions" else evidence.table(name)  # noqa: E731
    (section,) = beeswarm_section(SimpleNamespace(table=tables, info={}), METHODS, "m")
    assert section.finding == (
        "Larger values most plainly raise the score for small (+0.20) and lower the score for large (-0.90), "
        "by rank correlation."
    )
