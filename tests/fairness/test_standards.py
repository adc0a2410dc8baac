"""Standards: against the printed numbers of the rules' own examples, against scipy, and never a word of law."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv
from scipy import special, stats

from auditkit import check_fairness, open_audit
from auditkit.cli import main
from auditkit.errors import InputError
from auditkit.fairness.counting.counts import MISSING, Counts, encode_groups
from auditkit.fairness.groups.definitions import FOUR_FIFTHS
from auditkit.fairness.standards import standards_tables
from auditkit.fairness.standards.four_fifths import SCHEMA, four_fifths, selections_to_change
from auditkit.fairness.standards.ll144 import (
    BOTH,
    RACE,
    SEX,
    BiasAudit,
    bias_audit_from_cells,
    bias_audit_from_columns,
    bias_audit_from_counts,
)
from auditkit.fairness.standards.reading import (
    WORDS,
    four_fifths_finding,
    four_fifths_sentence,
    ll144_finding,
    ratio_text,
)
from auditkit.fairness.standards.rule import STANDARDS, load_standard
from auditkit.fairness.standards.significance import (
    chi_squared,
    chi_squared_tail,
    fisher_exact,
    smallest_expected,
    two_proportion_z,
)
from auditkit.fairness.standards.view import standard_sections

# The examples of 6 RCNY 5-301: applicants, selected (or scoring above the median), printed rate in %, printed ratio.
SELECTION_SEX = {"Male": (1390, 667, "48", "1.00"), "Female": (1181, 555, "47", "0.979")}
SELECTION_RACE = {
    "Hispanic or Latino": (408, 204, "50", "0.97"),
    "White": (797, 412, "52", "1.00"),
    "Black or African American": (390, 170, "44", "0.84"),
    "Native Hawaiian or Pacific Islander": (119, 52, "44", "0.85"),
    "Asian": (616, 302, "49", "0.95"),
    "Native American or Alaska Native": (41, 18, "44", "0.85"),
    "Two or More Races": (213, 96, "45", "0.87"),
}
SELECTION_BOTH = {
    ("Male", "Hispanic or Latino"): (205, 90, "43.9", "0.841"),
    ("Female", "Hispanic or Latino"): (190, 82, "43.2", "0.827"),
    ("Male", "White"): (412, 215, "52.2", "1.000"),
    ("Male", "Black or African American"): (226, 95, "42.0", "0.806"),
    ("Male", "Native Hawaiian or Pacific Islander"): (87, 37, "42.5", "0.815"),
    ("Male", "Asian"): (321, 167, "52.0", "0.997"),
    ("Male", "Native American or Alaska Native"): (24, 11, "45.8", "0.878"),
    ("Male", "Two or More Races"): (115, 52, "45.2", "0.866"),
    ("Female", "White"): (385, 197, "51.2", "0.981"),
    ("Female", "Black or African American"): (164, 75, "45.7", "0.876"),
    ("Female", "Native Hawaiian or Pacific Islander"): (32, 15, "46.9", "0.898"),
    ("Female", "Asian"): (295, 135, "45.8", "0.877"),
    ("Female", "Native American or Alaska Native"): (17, 7, "41.2", "0.789"),
    ("Female", "Two or More Races"): (98, 44, "44.9", "0.860"),
}
SCORING_SEX = {"Male": (92, 50, "54.3", "1.00"), "Female": (76, 34, "44.7", "0.82")}
SCORING_RACE = {
    "Hispanic or Latino": (28, 18, "64.2", "1.00"),
    "White": (40, 15, "37.5", "0.58"),
    "Black or African American": (32, 16, "50.0", "0.78"),
    "Native Hawaiian or Pacific Islander": (8, 5, "62.5", "0.97"),
    "Asian": (24, 10, "41.7", "0.65"),
    "Native American or Alaska Native": (16, 10, "62.5", "0.97"),
    "Two or More Races": (20, 10, "50.0", "0.78"),
}
SCORING_BOTH = {
    ("Male", "Hispanic or Latino"): (16, 12, "75", "1.00"),
    ("Female", "Hispanic or Latino"): (12, 6, "50", "0.67"),
    ("Male", "White"): (20, 7, "35", "0.47"),
    ("Male", "Black or African American"): (20, 10, "50", "0.67"),
    ("Male", "Native Hawaiian or Pacific Islander"): (4, 3, "75", "1.00"),
    ("Male", "Asian"): (12, 7, "58.3", "0.78"),
    ("Male", "Native American or Alaska Native"): (8, 5, "62.5", "0.83"),
    ("Male", "Two or More Races"): (12, 6, "50", "0.67"),
    ("Female", "White"): (20, 8, "40", "0.53"),
    ("Female", "Black or African American"): (12, 6, "50", "0.67"),
    ("Female", "Native Hawaiian or Pacific Islander"): (4, 2, "50", "0.67"),
    ("Female", "Asian"): (12, 3, "25", "0.33"),
    ("Female", "Native American or Alaska Native"): (8, 5, "62.5", "0.83"),
    ("Female", "Two or More Races"): (8, 4, "50", "0.67"),
}
PRINTED_CUT = {("scoring", "Hispanic or Latino")}
"""18 of 28 is 64.29 %, which the rule prints as 64.2 %."""


def plain(printed):
    return {name: values[:2] for name, values in printed.items()}


def example(kind: str, **more) -> BiasAudit:
    sex, race, both, unknown = {
        "selection": (SELECTION_SEX, SELECTION_RACE, SELECTION_BOTH, 250),
        "scoring": (SCORING_SEX, SCORING_RACE, SCORING_BOTH, 15),
    }[kind]
    return bias_audit_from_counts(plain(sex), plain(race), plain(both), unknown=unknown, kind=kind, **more)


def printed_as(value: float, printed: str, cut: bool = False) -> bool:
    """Whether a value prints so, to the decimals that are printed."""
    unit = Fraction(1, 10 ** len(printed.partition(".")[2]))
    off = Fraction(value) - Fraction(printed)
    return 0 <= off < unit if cut else abs(off) <= unit / 2


@pytest.mark.parametrize(
    ("kind", "breakdown", "printed"),
    [
        ("selection", SEX, SELECTION_SEX),
        ("selection", RACE, SELECTION_RACE),
        ("selection", BOTH, {" × ".join(pair): values for pair, values in SELECTION_BOTH.items()}),
        ("scoring", SEX, SCORING_SEX),
        ("scoring", RACE, SCORING_RACE),
        ("scoring", BOTH, {" × ".join(pair): values for pair, values in SCORING_BOTH.items()}),
    ],
)
def test_the_rules_examples_print_as_they_are_printed(kind, breakdown, printed):
    records = {r["category"]: r for r in example(kind).table.to_pylist() if r["breakdown"] == breakdown}
    assert list(records) == list(printed)
    for name, (n, selected, rate, ratio) in printed.items():
        record = records[name]
        assert (record["applicants"], record["selected"], record["kind"]) == (n, selected, kind)
        assert printed_as(100 * record["rate"], rate, cut=(kind, name) in PRINTED_CUT), (name, record["rate"])
        assert printed_as(record["impact_ratio"], ratio), (name, record["impact_ratio"])


def test_the_selection_example_does_not_add_up_and_each_place_is_told():
    audit = example("selection")
    found = {(each.breakdown, each.category, each.quantity): (each.stated, each.summed) for each in audit.disagreements}
    assert found == {
        (RACE, "Hispanic or Latino", "applicants"): (408, 395),
        (RACE, "Hispanic or Latino", "selected"): (204, 172),
        (RACE, "", "applicants"): (2584, 2571),
        (RACE, "", "selected"): (1254, 1222),
    }
    texts = [note["text"] for note in audit.notes.to_pylist() if note["topic"] == "margin"]
    assert any("Hispanic or Latino: 408 applicants" in text and "395" in text for text in texts)
    assert "4 numbers by sex or race/ethnicity do not agree" in ll144_finding(
        audit.table.to_pylist(), audit.notes.to_pylist()
    )
    section = standard_sections({"ll144": audit.table, "ll144_notes": audit.notes})[1]
    assert "4 numbers do not agree" in section.finding


def test_the_scoring_example_adds_up():
    assert example("scoring").disagreements == ()


@pytest.mark.parametrize(("kind", "unknown"), [("selection", 250), ("scoring", 15)])
def test_unknown_people_are_counted_and_told(kind, unknown):
    audit = example(kind)
    assert audit.unknown == unknown
    told = [note["text"] for note in audit.notes.to_pylist() if note["topic"] == "unknown"]
    assert told == [f"{unknown} people of unknown sex or race/ethnicity are not in the tables."]


def test_a_category_that_only_one_table_knows_is_pointed_out():
    audit = bias_audit_from_counts({"F": (4, 1)}, {"A": (2, 1), "B": (2, 0)}, {("F", "A"): (2, 1), ("F", "C"): (2, 0)})
    assert {(each.category, each.stated, each.summed) for each in audit.disagreements} == {("B", 2, 0), ("C", 0, 2)}


def test_small_categories_are_left_out_of_ratios_only_and_only_for_a_reason():
    kept, cut = example("selection"), example("selection", exclude_small="too few to say anything")
    small = {r["category"]: r["share"] for r in kept.table.to_pylist() if r["small"]}
    assert small.keys() == {
        "Native American or Alaska Native",
        "Male × Native American or Alaska Native",
        "Female × Native American or Alaska Native",
        "Female × Native Hawaiian or Pacific Islander",
    }
    assert all(share < 0.02 for share in small.values())
    assert all(ratio is not None for ratio in kept.table["impact_ratio"].to_pylist())
    for before, after in zip(kept.table.to_pylist(), cut.table.to_pylist(), strict=True):
        assert (before["applicants"], before["rate"]) == (after["applicants"], after["rate"])
        if before["small"]:
            assert (after["impact_ratio"], after["status"]) == (None, "excluded")
            assert after["reason"] == "too few to say anything"
        else:
            assert after["impact_ratio"] == before["impact_ratio"]


def test_two_percent_itself_is_not_under_it():
    cells = {("F", "A"): (2, 1), ("M", "A"): (98, 50)}
    assert bias_audit_from_cells(cells).table["small"].to_pylist() == [False] * 5
    cells = {("F", "A"): (1, 1), ("M", "A"): (98, 50)}
    assert bias_audit_from_cells(cells).table["small"].to_pylist()[0]


def test_a_left_out_category_is_not_what_others_are_held_against():
    cells = {("F", "A"): (100, 50), ("M", "A"): (100, 40), ("F", "B"): (1, 1)}
    by = {r["category"]: r for r in bias_audit_from_cells(cells).table.to_pylist()}
    assert by["A"]["impact_ratio"] == pytest.approx(0.45)
    notes = bias_audit_from_cells(cells).notes.to_pylist()
    assert any(n["category"] == "B" and "held against few people" in n["text"] for n in notes)
    by = {r["category"]: r for r in bias_audit_from_cells(cells, exclude_small="one person").table.to_pylist()}
    assert (by["A"]["impact_ratio"], by["B"]["impact_ratio"], by["B"]["rate"]) == (1.0, None, 1.0)


def people(cells):
    """One row per person: sex, race, selected."""
    lines = [(*pair, at < k) for pair, (n, k) in cells.items() for at in range(n)]
    order = np.random.default_rng(0).permutation(len(lines))
    return [list(column) for column in zip(*(lines[place] for place in order), strict=True)]


def test_columns_of_people_give_the_tables_of_their_counts():
    sex, race, selected = people(plain(SELECTION_BOTH))
    sex += ["Male", None, "Unknown", ""]
    race += ["prefer not to say", "Asian", "Asian", "White"]
    selected += [True] * 4
    audits = [
        bias_audit_from_columns(sex, race, selected=selected),
        bias_audit_from_columns(pa.array(sex), pa.array(race), selected=np.array(selected, dtype=np.int64)),
    ]
    for audit in audits:
        assert (audit.unknown, audit.disagreements, audit.kind, audit.median) == (4, (), "selection", None)
        found = {r["category"]: (r["applicants"], r["selected"]) for r in audit.table.to_pylist()}
        assert found == {
            **plain(SELECTION_SEX),
            **plain(SELECTION_RACE),
            "Hispanic or Latino": (395, 172),
            **{" × ".join(pair): values for pair, values in plain(SELECTION_BOTH).items()},
        }


def test_scores_are_held_against_the_median_of_the_people_counted():
    sex, race, above = people(plain(SCORING_BOTH))
    rng = np.random.default_rng(1)
    scores = np.where(above, 60, 40) + rng.uniform(-5, 5, len(above))
    unknown = 15
    audit = bias_audit_from_columns(
        [*sex, *["Male"] * unknown], [*race, *[None] * unknown], scores=[*scores, *[99.0] * unknown]
    )
    assert (audit.unknown, audit.kind) == (15, "scoring")
    assert audit.median == np.median(scores)
    counts = {r["category"]: (r["applicants"], r["selected"]) for r in audit.table.to_pylist()}
    for printed in (SCORING_SEX, SCORING_RACE):
        assert all(counts[name] == values for name, values in plain(printed).items())
    assert any("unknown category it would be" in note["text"] for note in audit.notes.to_pylist())


def test_scores_at_the_median_are_not_above_it_and_many_of_them_are_told():
    audit = bias_audit_from_columns(["F", "M"] * 5, ["A"] * 10, scores=[1, 1, 1, 2, 2, 2, 2, 2, 3, 3])
    assert audit.table.to_pylist()[2]["selected"] == 2
    ties = [note["text"] for note in audit.notes.to_pylist() if note["topic"] == "ties"]
    assert ties
    assert "5 people have exactly the median score" in ties[0]
    assert "20 %" in ties[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either selected or scores"),
        ({"selected": [1, 0], "scores": [1, 2]}, "either selected or scores"),
        ({"selected": ["yes", "no"]}, "'no', 'yes'"),
        ({"selected": [1, None]}, "missing"),
        ({"selected": [1]}, "1 rows"),
        ({"scores": [1.0, float("nan")]}, "missing"),
        ({"scores": [1.0, 2.0, 3.0]}, "3 rows"),
    ],
)
def test_columns_that_cannot_be_counted_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        bias_audit_from_columns(["F", "M"], ["A", "B"], **arguments)


def test_nobody_known_and_impossible_counts_are_refused():
    with pytest.raises(InputError, match="nobody among 2 people"):
        bias_audit_from_columns(["F", None], [None, "B"], selected=[1, 0])
    with pytest.raises(InputError, match="sex has 2 rows, race/ethnicity 1"):
        bias_audit_from_columns(["F", "M"], ["A"], selected=[1, 0])
    with pytest.raises(InputError, match="people of whom 3 selected"):
        bias_audit_from_counts({"F": (2, 3)}, {"A": (2, 1)}, {("F", "A"): (2, 1)})
    with pytest.raises(InputError, match="no applicants"):
        bias_audit_from_counts({"F": (0, 0)}, {"A": (2, 1)}, {("F", "A"): (2, 1)})
    with pytest.raises(InputError, match="must not be negative"):
        bias_audit_from_counts({"F": (2, 1)}, {"A": (2, 1)}, {("F", "A"): (2, 1)}, unknown=-1)


def test_where_nobody_is_selected_there_is_no_ratio():
    records = bias_audit_from_cells({("F", "A"): (5, 0), ("M", "A"): (5, 0)}).table.to_pylist()
    assert all(r["rate"] == 0.0 and r["impact_ratio"] is None and r["status"] == "undefined" for r in records)


# Four-fifths


def by_group(groups, **more):
    return {record["group"]: record for record in four_fifths(groups, **more).to_pylist()}


def test_the_uniform_guidelines_example_of_audit_ai():
    groups = {"a": (1000, 250), "b": (1000, 270), "c": (1000, 240), "d": (1000, 260)}
    records = by_group(groups)
    assert round(records["c"]["impact_ratio"], 3) == 0.889
    assert round(records["a"]["p_any_difference"], 4) == 0.4519
    assert all(records[name]["outcome"] == "at least, within chance" for name in "acd")
    assert records["b"]["outcome"] == "highest rate"


def test_four_fifths_itself_is_not_below():
    assert by_group({"a": (10, 4), "b": (10, 5)})["a"]["impact_ratio"] == FOUR_FIFTHS
    assert by_group({"a": (3_000, 1_120), "b": (1_500, 700)})["a"]["outcome"] == "at least, beyond chance"
    assert by_group({"a": (3_000, 1_119), "b": (1_500, 700)})["a"]["outcome"] == "below, beyond chance"


@pytest.mark.parametrize(
    ("groups", "outcome"),
    [
        ({"a": (1000, 100), "b": (1000, 200)}, "below, beyond chance"),
        ({"a": (10, 1), "b": (20, 3)}, "below, small numbers"),
        ({"a": (400, 30), "b": (400, 44)}, "below, within chance"),
        ({"a": (10_000, 4_500), "b": (10_000, 5_000)}, "at least, beyond chance"),
        ({"a": (100, 48), "b": (100, 50)}, "at least, within chance"),
        ({"a": (10, 0), "b": (20, 0)}, "not judged"),
        ({"a": (0, 0), "b": (20, 3)}, "not judged"),
    ],
)
def test_outcomes(groups, outcome):
    assert by_group(groups)["a"]["outcome"] == outcome


def test_one_woman_of_ten_and_three_men_of_twenty_rest_on_one_person():
    """The case of question and answer 21: one different person turns the order round."""
    record = by_group({"women": (10, 1), "men": (20, 3)})["women"]
    assert round(record["impact_ratio"], 3) == 0.667
    assert (record["selections_to_change"], record["one_more_changes"], record["one_swap_reverses"]) == (1, True, True)
    assert record["test"] == "Fisher's exact test"
    sentence = four_fifths_sentence(record)
    assert "on small numbers" in sentence
    assert "one more selection would reach four-fifths" in sentence
    assert "turn the order round" in sentence


def test_which_pair_is_looked_at_is_paid_for():
    two = by_group({"a": (200, 70), "b": (200, 100)})["a"]
    many = by_group({"a": (200, 70), "b": (200, 100), "c": (200, 90), "d": (200, 90)})["a"]
    assert two["p_adjusted"] == two["p_value"]
    assert many["p_adjusted"] == pytest.approx(6 * many["p_value"])


def test_unknown_groups_are_listed_but_not_compared():
    records = by_group({"a": (100, 20), MISSING: (100, 90), "b": (100, 25)}, unknown=[MISSING])
    assert records["a"]["impact_ratio"] == pytest.approx(0.8)
    assert records[MISSING]["impact_ratio"] is None
    assert records[MISSING]["rate"] == 0.9
    assert "not known" in records[MISSING]["reason"]


def test_impossible_counts_are_refused():
    with pytest.raises(InputError, match="'a' has 3 people of whom 4 selected"):
        four_fifths({"a": (3, 4), "b": (3, 1)})


pairs = st.tuples(st.integers(1, 60), st.integers(0, 60)).map(lambda pair: (pair[0], min(pair)))


@given(pairs, pairs)
def test_selections_to_change_is_the_fewest_that_do(mine, best):
    (n, k), (m, j) = mine, best

    def below(selected):
        return 5 * selected * m < 4 * j * n

    if j == 0:
        assert selections_to_change(mine, best) is None
        return
    change = selections_to_change(mine, best)
    step = 1 if below(k) else -1
    reachable = [d for d in range(1, 61) if 0 <= k + step * d <= n and below(k + step * d) != below(k)]
    assert change == (reachable[0] if reachable else None)


@settings(max_examples=200)
@given(pairs, pairs)
def test_p_values_are_scipys(first, second):
    (n, k), (m, j) = first, second
    table = [[k, n - k], [j, m - j]]
    assert fisher_exact(first, second) == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)
    if 0 < k + j < n + m:
        z, p = two_proportion_z(first, second)
        truth = stats.chi2_contingency(table, correction=False)
        assert z * z == pytest.approx(truth.statistic, abs=1e-9)
        assert p == pytest.approx(truth.pvalue, rel=1e-9)
        assert smallest_expected(first, second) == pytest.approx(truth.expected_freq.min())
        assert chi_squared([first, second])[2] == pytest.approx(truth.pvalue, rel=1e-9)
    else:
        assert two_proportion_z(first, second) is None
        assert chi_squared([first, second]) is None


def test_fishers_test_of_millions_is_the_normal_one_and_quick():
    first, second = (40_000_000, 20_002_000), (60_000_000, 29_993_000)
    _, p = two_proportion_z(first, second)
    assert fisher_exact(first, second) == pytest.approx(p, rel=2e-3)
    assert fisher_exact((10_000_000, 1), (10_000_000, 9_999_999)) == 0.0
    large = (40_000, 3_000), (9_000, 800)
    truth = stats.fisher_exact([[3_000, 37_000], [800, 8_200]]).pvalue
    assert fisher_exact(*large) == pytest.approx(truth, rel=1e-8)


@given(st.floats(0, 300), st.integers(1, 150))
def test_the_chi_squared_tail_is_the_incomplete_gamma_function(statistic, df):
    assert chi_squared_tail(statistic, df) == pytest.approx(
        special.gammaincc(df / 2, statistic / 2), rel=1e-9, abs=1e-14
    )


def test_group_order_does_not_change_what_is_found():
    groups = {"a": (500, 120), "b": (300, 90), "c": (20, 6), "d": (80, 10)}
    one, other = by_group(groups), by_group(dict(reversed(groups.items())))
    assert one == other


@pytest.mark.parametrize("sizes", [(100,) * 8, (1000, 400, 100, 60, 40)])
def test_equal_groups_are_seldom_said_to_differ_beyond_chance(sizes):
    """The highest of many groups is picked after looking; in at most 5 % of draws may any outcome say `beyond`."""
    rng = np.random.default_rng(7)
    draws = rng.binomial(sizes, 0.3, size=(400, len(sizes))).tolist()
    tables = (four_fifths({str(at): pair for at, pair in enumerate(zip(sizes, draw, strict=True))}) for draw in draws)
    found = [any("beyond" in outcome for outcome in table["outcome"].to_pylist()) for table in tables]
    assert np.mean(found) <= 0.05


# From counts, and as sections


def some_counts(missing: bool = True) -> Counts:
    rng = np.random.default_rng(3)
    n = 6_000
    sex = rng.choice(["Female", "Male"], n)
    race = rng.choice(["Asian", "Black", "White", *([None] if missing else [])], n).tolist()
    decision = rng.random(n) < np.where(sex == "Male", 0.4, 0.25)
    groups = encode_groups(
        {"sex": pa.array(sex), "race": pa.array(race), "site": pa.array(["x", "y"] * (n // 2))}, "here"
    )
    return Counts.tally(groups, rng.random(n) < 0.5, decision)


def test_tables_from_counts():
    counts = some_counts()
    tables = standards_tables(counts, "sex", "race")
    assert list(tables) == ["four_fifths", "ll144", "ll144_notes"]
    fifths = tables["four_fifths"].to_pylist()
    assert list(dict.fromkeys(r["attribute"] for r in fifths)) == ["sex", "race", "site"]
    margin = counts.margin(["sex"])
    for record in fifths[:2]:
        cells = margin.cells[margin.names.index(record["group"])]
        assert (record["n"], record["selected"]) == (cells.sum(), cells[:, 1].sum())
    assert fifths[0]["outcome"] == "below, beyond chance"
    unknown = next(r for r in fifths if r["group"] == MISSING)
    law = tables["ll144"].to_pylist()
    assert sum(r["applicants"] for r in law if r["breakdown"] == BOTH) == counts.rows - unknown["n"]
    assert f"{unknown['n']:,} people" in tables["ll144_notes"].to_pylist()[0]["text"]
    assert not any(r["category"] == MISSING for r in law)


def test_without_both_columns_there_is_four_fifths_only():
    counts = some_counts()
    assert list(standards_tables(counts)) == list(standards_tables(counts, sex="sex")) == ["four_fifths"]
    with pytest.raises(InputError, match="rase"):
        standards_tables(counts, "sex", "rase")
    with pytest.raises(InputError, match="as sex and as race"):
        standards_tables(counts, "sex", "sex")


def test_sections_show_what_there_is():
    tables = standards_tables(some_counts(), "sex", "race")
    made = standard_sections({f"fairness/{name}": table for name, table in tables.items()})
    assert [section.key for section in made] == ["four-fifths", "ll144", "ll144-notes"]
    fifths, law, _ = made
    assert "four-fifths (a rule of thumb, not a verdict)" in [note.text for note in fifths.figure.layout.annotations]
    assert fifths.table.num_rows == tables["four_fifths"].num_rows
    ratios = [x for trace in law.figure.data for x in trace.x]
    assert ratios == [r for r in tables["ll144"]["impact_ratio"].to_pylist() if r is not None]
    assert standard_sections({}) == []


def test_what_people_name_is_escaped_in_figures():
    table = four_fifths({"<b>a</b>": (50, 20), "b": (50, 25)}, "<i>x</i>")
    figure = standard_sections({"four_fifths": table})[0].figure
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")
    assert "<i>" not in figure.to_json().replace("\\u003c", "<")


def test_many_groups_keep_the_lowest_in_the_figure_and_all_in_the_table():
    table = four_fifths({f"g{at}": (1000, 100 + at) for at in range(200)}, "site")
    section = standard_sections({"four_fifths": table})[0]
    assert section.table.num_rows == 200
    assert min(section.figure.data[0].x) == min(table["impact_ratio"].to_pylist())
    assert len(section.figure.data[0].x) == 40


LAW = re.compile(r"\b(il)?legal|\blaw(ful|s)?\b|complian|violat|\bpass(es|ed)?\b|\bfail|discriminat", re.IGNORECASE)


def test_no_reading_says_what_the_law_makes_of_it():
    tables = standards_tables(some_counts(), "sex", "race")
    sentences = [*WORDS.values(), four_fifths_finding(tables["four_fifths"].to_pylist())]
    for groups in ({"a": (10, 1), "b": (20, 3)}, {"a": (999, 1), "b": (999, 300)}, {"a": (5, 0), "b": (5, 0)}):
        sentences += [four_fifths_sentence(record) for record in four_fifths(groups, "x").to_pylist()]
    for audit in (example("selection"), example("scoring", exclude_small="few people")):
        sentences += [ll144_finding(audit.table.to_pylist(), audit.notes.to_pylist()), *audit.notes["text"].to_pylist()]
    assert not [sentence for sentence in sentences if LAW.search(sentence)]


def test_readings_keep_to_their_side_of_four_fifths():
    assert ratio_text(0.79999) == "0.799"
    assert ratio_text(0.8) == "0.800"


@pytest.mark.parametrize("name", STANDARDS)
def test_standards_tell_where_they_stand(name):
    standard = load_standard(name)
    assert standard.source.startswith("https://")
    assert standard.citation
    assert standard.as_of
    assert standard.rules
    assert "not a legal one" in standard.wording
    assert all(len(says) < 200 for _, says in standard.rules)


def test_thresholds_are_those_of_the_rules():
    assert load_standard("four_fifths").thresholds["ratio"] == FOUR_FIFTHS
    assert load_standard("ll144").thresholds == {"small_category": 0.02}
    with pytest.raises(InputError, match="not a standard"):
        load_standard("ll145")


def test_no_number_is_nan_and_columns_are_as_declared():
    table = four_fifths({"a": (0, 0), "b": (5, 5), "c": (5, 5)}, "x")
    assert table.schema == SCHEMA
    values = [value for column in table.columns for value in column.to_pylist() if isinstance(value, float)]
    assert all(math.isfinite(value) for value in values)


def test_importing_the_tables_brings_nothing_heavy():
    code = (
        "import auditkit.fairness.standards, sys; "
        "print([m for m in ('torch', 'pandas', 'scipy', 'plotly', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_check_makes_the_local_law_144_tables_where_they_are_asked_for(tmp_path, capsys):
    rng = np.random.default_rng(0)
    columns = {"sex": rng.choice(["f", "m"], 900), "race": rng.choice(["a", "b", "c"], 900)}
    label, decision = rng.integers(0, 2, 900), rng.integers(0, 2, 900)
    plain = check_fairness(label, decision, sensitive_features=columns)
    asked = check_fairness(label, decision, sensitive_features=columns, ll144=("sex", "race"))
    assert "ll144" not in plain.tables
    rates = {row["category"]: row["rate"] for row in asked.tables["ll144"].to_pylist() if row["breakdown"] == "sex"}
    assert rates["f"] == pytest.approx(decision[columns["sex"] == "f"].mean())
    assert list(plain.metrics) == list(asked.metrics), "a table is no verdict"
    csv.write_csv(pa.table({**columns, "label": label, "decision": decision}), tmp_path / "table.csv")
    arguments = ["--label", "label", "--prediction", "decision", "--sensitive", "sex,race", "--ll144"]
    with pytest.raises(SystemExit) as stopped:
        main(["fairness", str(tmp_path / "table.csv"), *arguments, "sex"])
    assert stopped.value.code == 2
    assert "takes two columns" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fairness", str(tmp_path / "table.csv"), *arguments, "sex,race", "--out", str(tmp_path / "out")])
    assert "New York City Local Law 144" in capsys.readouterr().out
    folder = next((tmp_path / "out" / "table").iterdir())
    assert "Local Law 144" in "".join(section.title for section in open_audit(folder).sections()["fairness"])
