"""Counterfactuals: they turn the decision, are the smallest there are, and change only what may change."""

import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from auditkit.attribution import counterfactual, counterfactual_search
from auditkit.attribution.table_values import TableValues
from auditkit.errors import InputError

GRID = pd.DataFrame(list(product([1, 2, 3], ["x", "y"], [0.5, 1.5], [10, 20, 30, 40])), columns=["a", "b", "c", "age"])
MONOTONE = {"age": "up", "c": "down"}


def people(count: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, count),
            "hours": rng.normal(40, 10, count).round(1),
            "job": pd.Categorical(rng.choice(["clerk", "cook", "guard"], count)),
            "sex": rng.choice(["f", "m"], count),
            "gain": rng.exponential(1000, count) * (rng.random(count) < 0.1),
        }
    )


def approve(table: pd.DataFrame) -> np.ndarray:
    job = table.job.astype(str).map({"clerk": 1.0, "cook": 0.0, "guard": -1.0})
    raw = 0.05 * (table.age - 45) + 0.08 * (table.hours - 40) + job + 0.0005 * table.gain + (table.sex == "m") - 1
    return 1 / (1 + np.exp(-raw.to_numpy(dtype=float)))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-2, 2), min_size=8, max_size=8),
    st.integers(0, len(GRID) - 1),
    st.sets(st.sampled_from(["a", "b", "c"])),
)
def test_on_a_small_grid_it_is_the_best_of_all_rows(weights, place, immutable):
    def scores(table: pd.DataFrame) -> np.ndarray:
        a, b, c, age = (table.a - 2, (table.b == "y") - 0.5, table.c - 1, (table.age - 25) / 10)
        parts = [a, b, c, age, a * b, a * c, b * age, c * age]
        return np.asarray(sum(w * part for w, part in zip(weights, parts, strict=True)), dtype=float)

    own = GRID.iloc[[place]]
    found = counterfactual(scores, own, GRID, threshold=0, immutable=sorted(immutable), monotone=MONOTONE)
    before = bool(scores(own)[0] >= 0)
    values = TableValues.of(GRID, own, sorted(immutable), MONOTONE)
    legal = np.ones(len(GRID), dtype=bool)
    for name in immutable:
        legal &= (GRID[name] == own[name].iloc[0]).to_numpy()
    legal &= (GRID.age >= own.age.iloc[0]).to_numpy() & (GRID.c <= own.c.iloc[0]).to_numpy()
    turns = legal & ((scores(GRID) >= 0) != before)
    assert found.found == turns.any()
    if found.found:
        best = min(zip(values.changed(values.training[turns]), values.cost(values.training[turns]), strict=True))
        assert len(found.changes) == best[0]
        assert found.cost == pytest.approx(best[1])
        assert found.fewest
    else:
        assert found.reason


def apart(row: pd.DataFrame, known: pd.DataFrame) -> float:
    """How far a row is from its nearest training row."""
    values = TableValues.of(known, row)
    return float(values.distance(values.row[None], values.training).min())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([20_000, 60, 0]))
def test_what_is_found_keeps_every_promise(seed, budget):
    known = people()
    own = people(1, seed + 1)
    found = counterfactual(approve, own, known, immutable=["sex"], monotone={"age": "up"}, budget=budget, seed=seed)
    assert found.found, found.reason
    assert (approve(found.row)[0] >= 0.5) == bool(found.turned) != (approve(own)[0] >= 0.5) == bool(found.decision)
    assert found.row.dtypes.equals(known.dtypes)
    for name in known.columns:
        old, new = own[name].iloc[0], found.row[name].iloc[0]
        assert (old != new) == (name in found.changes)
        if name in found.changes:
            assert found.changes[name] == (old, new)
            assert (known[name] == new).any()
    assert "sex" not in found.changes
    assert found.row.age.iloc[0] >= own.age.iloc[0]
    limit = max(found.usual, apart(own, known))
    assert apart(found.row, known) == pytest.approx(found.distance)
    assert found.distance <= limit * 1.001
    for name in found.changes if len(found.changes) > 1 else ():  # nothing that was changed could have stayed
        kept = found.row.copy()
        kept[name] = own[name].astype(known[name].dtype).to_numpy()
        assert (approve(kept)[0] >= 0.5) == bool(found.decision) or apart(kept, known) > limit


def test_with_and_without_the_budget_it_costs_about_the_same():
    known, costs = people(), []
    for seed in range(8):
        own = people(1, seed + 50)
        searched, donated = (
            counterfactual(approve, own, known, immutable=["sex"], monotone={"age": "up"}, budget=budget)
            for budget in (20_000, 0)
        )
        assert searched.fewest
        assert not donated.fewest or len(donated.changes) == 1
        assert len(donated.changes) >= len(searched.changes)
        costs.append((len(donated.changes), len(searched.changes)))
    assert np.mean([one == two for one, two in costs]) > 0.7


def test_long_columns_are_thinned_and_then_moved_nearer(monkeypatch):
    known, own = people(), people(1, 6)
    whole = counterfactual(approve, own, known, immutable=["sex", "job", "age", "gain"])
    monkeypatch.setattr(counterfactual_search, "VALUES", 3)
    thinned = counterfactual(approve, own, known, immutable=["sex", "job", "age", "gain"])
    assert list(thinned.changes) == list(whole.changes) == ["hours"]
    assert thinned.changes == whole.changes
    assert whole.fewest
    assert not thinned.fewest


def test_a_network_and_several_classes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    rng = np.random.default_rng(0)
    known = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])

    def scores(table: pd.DataFrame) -> torch.Tensor:
        return net(torch.tensor(table.to_numpy(dtype=np.float32)))

    decided = scores(known).argmax(dim=1).numpy()
    own = known.iloc[0]
    for wanted in set(decided.tolist()) - {decided[0]}:
        found = counterfactual(scores, own, known, wanted=wanted)
        assert scores(found.row).argmax().item() == found.turned == wanted
        assert found.after.shape == (3,)
        assert found.distance <= max(found.usual, 1e-9) * 1.001
    already = counterfactual(scores, own, known, wanted=int(decided[0]))
    assert not already.found
    assert "already" in str(already)


def test_a_black_box_needs_no_torch():
    code = "import sys\nfrom auditkit.attribution import counterfactual\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_columns_may_have_any_names_and_rows_be_series():
    known = people()[["age", "hours"]].set_axis([0, 1], axis=1)

    def scores(table: pd.DataFrame) -> np.ndarray:
        return (table[0] + table[1] - 90).to_numpy(dtype=float)

    found = counterfactual(scores, known.iloc[0], known, threshold=0)
    assert set(found.changes) <= {0, 1}
    assert found.row.columns.tolist() == [0, 1]
    assert found.row.dtypes.equals(known.dtypes)
    assert found.changes == counterfactual(scores, known.iloc[:1], known, threshold=0).changes


def test_what_is_implausible_is_not_offered():
    """Tall people are heavy here: nobody is tall and light, so both must change."""
    size = np.repeat(np.linspace(0, 10, 200), 2)
    known = pd.DataFrame({"height": size, "weight": size + np.tile([0.0, 0.05], 200)})
    found = counterfactual(lambda t: t.height, known.iloc[:1], known, threshold=8)
    assert set(found.changes) == {"height", "weight"}
    assert found.distance <= found.usual * 1.001
    alone = counterfactual(lambda t: t.height, known.iloc[:1], known, threshold=8, immutable=["weight"])
    assert not alone.found
    assert "unlike any" in alone.reason


def test_why_nothing_is_found_is_said():
    known = people()
    own = known.iloc[:1]
    never = counterfactual(lambda t: np.zeros(len(t)), own, known)
    assert "None of 400 training rows gets another decision" in never.reason
    assert never.row is None and never.changes == {} and never.evaluations > 400  # noqa: PT018
    stuck = counterfactual(approve, own, known, immutable=list(known.columns))
    assert "No column" in stuck.reason
    by_sex = counterfactual(lambda t: (t.sex == "m") * 1.0, own, known, immutable=["sex"])
    assert "while sex stay" in by_sex.reason
    calls = iter(range(10**6))
    moody = counterfactual(lambda t: np.full(len(t), float(next(calls) % 2)), own, known)
    assert moody.found or moody.reason


def test_missing_values_are_never_offered_and_may_be_filled():
    known = people()
    known.loc[known.index[::3], "hours"] = np.nan
    own = known.iloc[[3]].assign(age=30, sex="f")
    assert own.hours.isna().all()
    found = counterfactual(
        lambda t: approve(t.fillna({"hours": 0.0})), own, known, immutable=["sex", "age", "job", "gain"]
    )
    assert list(found.changes) == ["hours"]
    assert not found.row.hours.isna().any()
    never = counterfactual(lambda t: t.hours.isna().to_numpy(dtype=float), known.iloc[[1]], known)
    assert not never.found


def test_columns_and_scores_that_do_not_fit_are_refused():
    known = people()
    own = known.iloc[:1]
    for problem, told in {
        "did you mean 'sex'": {"immutable": ["sexx"]},
        "write 'up' or 'down'": {"monotone": {"age": "rising"}},
        "columns that hold numbers": {"monotone": {"sex": "up"}},
        "'job' is 'pilot', which is no value": {"row": own.assign(job="pilot")},
        "'age' is 30.5": {"row": own.assign(age=30.5)},
        "it lacks columns of the training rows: gain": {"row": own.drop(columns="gain")},
        "several columns 'sex'": {"training": known.rename(columns={"job": "sex"})},
        "one row among training rows; got 2": {"row": known.iloc[:2]},
        "gives shape \\[1\\] for": {"scores": lambda _table: np.zeros(1)},
        "missing or infinite": {"scores": lambda table: np.full(len(table), np.nan)},
    }.items():
        settings = {"scores": approve, "row": own, "training": known, **told}
        with pytest.raises(InputError, match=problem):
            counterfactual(settings.pop("scores"), settings.pop("row"), settings.pop("training"), **settings)
