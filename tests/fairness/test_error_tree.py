import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditkit import theme
from auditkit.errors import InputError
from auditkit.fairness.slices.confirm import confirm_slices
from auditkit.fairness.slices.error_figures import tree_figure
from auditkit.fairness.slices.error_view import error_analysis_sections, tree_sections
from auditkit.fairness.slices.findings import error_analysis_findings
from auditkit.fairness.slices.halves import split_rows
from auditkit.fairness.slices.tree import branches, error_tree
from benchmarks.slice_search import planted


class Evidence:
    def __init__(self, tables):
        self.tables = tables

    def table(self, name):
        return self.tables.get(name.removeprefix("fairness/"))


def table(rows=6_000, seed=0):
    rng = np.random.default_rng(seed)
    income = np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(3, 10, rows).round(1))
    columns = {
        "income": income,
        "region": rng.choice(["north", "south", "east"], rows),
        "noise": rng.normal(size=rows),
    }
    return columns, rng


def test_a_planted_branch_is_grown_and_confirmed():
    columns, rng = table()
    inside = (columns["region"] == "north") & (columns["income"] < 20)
    tree = error_tree(columns, rng.random(6_000) < 0.05 + 0.4 * inside)
    worst = max(tree.confirmed, key=lambda node: node.seen.loss)
    assert "region = north" in worst.text
    assert "income <" in worst.text
    assert not any("noise" in node.text for node in tree.confirmed)


def test_rows_without_a_value_are_a_branch_of_their_own():
    columns, rng = table()
    tree = error_tree(columns, rng.random(6_000) < 0.05 + 0.4 * np.isnan(columns["income"]))
    assert "income is missing" in [node.text for node in tree.confirmed]
    first = [node for node in tree.nodes if node.parent == 0]
    assert sorted(node.text for node in first) == ["income is missing", "income is not missing"]


def test_noise_grows_nothing_that_is_confirmed():
    grown = confirmed = 0
    for seed in range(25):
        columns, loss = planted(2_000, seed, extra=0.0)
        tree = error_tree(columns, loss, seed=seed)
        grown += len(tree.nodes) > 1
        confirmed += bool(tree.confirmed)
    assert grown <= 5  # at most 5 % expected
    assert confirmed <= 2


@pytest.mark.parametrize("kind", ["errors", "numbers"])
def test_the_first_division_is_the_one_that_going_through_all_finds(kind):
    columns, rng = table(800, 3)
    loss = (columns["region"] == "north") * 1.0 if kind == "errors" else rng.exponential(size=800)
    loss = loss * (1 + 2 * (columns["region"] == "south")) + 3 * (columns["income"] < 20) * (kind == "numbers")
    halves = split_rows(columns, loss, 40, 0)
    half, best = halves.search, []
    for at, column in enumerate(half.columns):
        for sides in branches(column):
            parts = [half.loss[side[column.codes]] for side in sides]
            if min(len(part) for part in parts[:2]) < 40:
                continue
            parts = [part for part in parts if len(part)]
            gain = sum(part.sum() ** 2 / len(part) for part in parts) - half.loss.sum() ** 2 / len(half.loss)
            p = stats.chi2.sf(gain / half.loss.var(), len(parts) - 1)
            best.append((p, -gain, at))
    tree = error_tree(columns, loss, minimum_rows=40)
    assert tree.nodes[1].column == min(best)[2]


def test_for_errors_the_criterion_is_pearsons_test():
    from auditkit.fairness.slices.tree import _significance

    counts, bad = np.array([60, 80, 40]), np.array([6.0, 20.0, 10.0])
    sides = [np.eye(3, dtype=bool)[at] for at in range(3)]
    share = bad.sum() / counts.sum()
    p, _ = _significance(counts, bad, sides, share * (1 - share), 1)
    assert p == pytest.approx(stats.chi2_contingency([bad, counts - bad], correction=False).pvalue)


def test_a_small_tree_in_closed_form():
    sex = np.array(["f", "m"] * 400)
    wrong = (sex == "f") & (np.arange(800) // 2 % 4 == 0)
    tree = error_tree({"sex": sex}, wrong)
    lines = tree.table().to_pylist()
    assert [line["slice"] for line in lines] == ["all rows", "sex = f", "sex = m"]
    root, f, m = lines
    assert f["n"] == m["n"] == 400
    assert (f["coverage"], m["coverage"], f["search_coverage"]) == (1.0, 0.0, 1.0)
    assert f["lift"] == pytest.approx(root["confirm_n"] / f["confirm_n"])
    both = f["search_loss"] * f["search_n"] + f["loss"] * f["confirm_n"]
    assert both == pytest.approx(wrong.sum())
    assert m["loss"] == 0
    assert f["confirmed"]
    assert not m["confirmed"]
    assert f["lower"] < 0.25 < f["upper"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), binary=st.booleans())
def test_children_hold_their_parents_rows_once_and_rates_are_those_of_the_rows(seed, binary):
    columns, rng = table(1_500, seed)
    columns["region"] = pa.array(np.where(rng.random(1_500) < 0.05, None, columns["region"]))
    weight = np.nan_to_num(columns["income"], nan=90.0) / 100
    loss = (rng.random(1_500) < weight) * 1.0 if binary else rng.exponential(size=1_500) * weight
    tree = error_tree(columns, loss, seed=seed)
    for node in tree.nodes:
        children = [one for one in tree.nodes if one.parent == node.node]
        assert node.leaf == (not children)
        if children:
            assert (np.sum([one.search for one in children], axis=0) == node.search).all()
            assert (np.sum([one.confirm for one in children], axis=0) == node.confirm).all()
    for line, node in zip(tree.table().to_pylist(), tree.nodes, strict=True):
        mine = tree.halves.confirm.loss[node.confirm]
        assert line["confirm_n"] == len(mine)
        if line["loss"] is None:
            assert line["reason"]
            assert len(mine) < tree.halves.minimum_rows or np.ptp(tree.halves.confirm.loss) == 0
        else:
            assert line["loss"] == pytest.approx(mine.mean())
            assert line["lower"] <= line["loss"] <= line["upper"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_rows_changes_nothing_for_a_given_seed(seed):
    columns, rng = table(1_200, 1)
    loss = (rng.random(1_200) < 0.1 + 0.5 * (columns["region"] == "north")) * 1.0
    order = np.random.default_rng(seed).permutation(1_200)
    moved = {name: column[order] for name, column in columns.items()}
    first = error_analysis_findings(columns, loss, seed=3)
    second = error_analysis_findings(moved, loss[order], seed=3)
    assert first.metrics == second.metrics
    assert first.tables == second.tables


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_losses_that_are_all_equal_grow_nothing(value):
    columns, _ = table(500)
    tree = error_tree(columns, np.full(500, value))
    assert len(tree.nodes) == 1
    section = tree_sections(tree.table())[0]
    assert section.figure is None
    assert section.finding


def test_losses_of_tiny_size_grow_the_same_tree():
    columns, rng = table()
    loss = rng.exponential(size=6_000).round(1) * (1 + (columns["region"] == "north"))
    small = error_tree(columns, loss * 2.0**-30)
    assert [node.condition for node in error_tree(columns, loss).nodes[1:3]] == ["region = north", "region ≠ north"]
    assert [node.condition for node in small.nodes[1:3]] == ["region = north", "region ≠ north"]


def test_further_intervals_widen_those_of_slices():
    loss = np.repeat([0.0, 1.0], 500)
    inside = [np.arange(1000) % 2 == 0, np.arange(1000) > 450]
    alone, more = (confirm_slices(inside, loss, 0.95, np.random.default_rng(0), others=k) for k in (0, 3))
    assert more[1].loss_lower < alone[1].loss_lower
    assert more[1].p == alone[1].p


@pytest.mark.parametrize(("more", "words"), [({"depth": 4}, "depth"), ({"confidence": 5}, "confidence")])
def test_what_makes_no_tree_is_refused(more, words):
    with pytest.raises(InputError, match=words):
        error_tree(*planted(500, 0), **more)


def test_sections_and_metrics_tell_what_is_confirmed():
    columns, rng = table()
    columns["<b>region</b>"] = columns.pop("region")
    inside = columns["<b>region</b>"] == "north"
    found = error_analysis_findings(columns, rng.random(6_000) < 0.05 + 0.3 * inside, split="test")
    branch = [row for row in found.metrics if row.metric == "branch_error_rate"]
    assert [row.detail for row in branch] == ["<b>region</b> = north"]
    assert branch[0].lower < 0.35 < branch[0].upper
    sections = {section.key: section for section in error_analysis_sections(Evidence(found.tables))}
    assert set(sections) == {"slices", "error-tree", "error-heatmap"}
    assert "<b>region</b> = north" in sections["error-tree"].finding
    figure = tree_figure(found.tables["error_tree"])
    assert not any("<b>" in label for label in figure.data[0].labels)
    assert any(theme.escape("<b>") in label for label in figure.data[0].labels)


def test_too_few_rows_leave_a_caveat_and_no_number():
    found = error_analysis_findings({"a": ["x"] * 20}, [1.0] * 20)
    assert not found.metrics
    assert "too few" in found.caveats[0].text
    assert error_analysis_sections(Evidence(found.tables)) == []
