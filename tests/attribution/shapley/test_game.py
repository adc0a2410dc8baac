"""What coalitions are worth, who plays, and what is never scored twice."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from auditkit.attribution import explain
from auditkit.attribution.explicands import Baseline, Explicands
from auditkit.attribution.partition import Partition
from auditkit.attribution.shapley.exact import exact_shapley
from auditkit.attribution.shapley.game import games, players_of
from auditkit.attribution.shapley.kernel import kernel_shap
from auditkit.attribution.shapley.permutation import permutation_shapley
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace

METHODS = {"exact": exact_shapley, "kernel": kernel_shap, "orders": permutation_shapley}
MIX = torch.randn((5, 9), generator=torch.Generator().manual_seed(0)).double()
X = torch.randn((4, 5), generator=torch.Generator().manual_seed(1)).double()


def score(x: Tensor) -> Tensor:
    return torch.tanh(x @ MIX).sum(dim=1)


@contextmanager
def playing(f, x: Tensor, baseline: Tensor, size: int = 64, **told):
    """(scorer, explicands) of rows whose every number is a part."""
    model = PlainModel.of(f, (x,))
    with model.evaluating():
        space = InputSpace.trace(model, (x,))
        one = torch.ones((len(x), 1), dtype=x.dtype)
        partition = Partition(tuple(map(str, range(x.shape[1]))), (torch.arange(x.shape[1]),))
        scores, at_baseline = f(x).double(), f(baseline).double().expand(len(x))
        numbers = np.arange(len(x))
        baselines = Baseline((baseline,), "given", 0)
        rows = Explicands(numbers, Rows((x,), one), numbers * 0, scores, baselines, at_baseline, partition)
        yield Scorer(model, space, size), replace(rows, **told)


def test_a_coalition_keeps_its_parts_and_takes_the_baseline_elsewhere():
    baseline = torch.full((1, 5), 0.3).double()
    coalitions = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]]).bool()
    with playing(score, X, baseline) as (engine, explicands):
        (game,) = games(engine, explicands, lambda players: 2**players)
        worth = game.worth(coalitions)
        assert engine.forwards == 2 * 4  # neither the row nor its baseline again
    for place, coalition in enumerate(coalitions):
        expected = score(torch.where(coalition, X, baseline))
        torch.testing.assert_close(worth[:, place], expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_row_and_its_baseline_are_never_scored_again(method):
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x)
        return score(x)

    zero = torch.zeros(1, 5).double()
    with playing(watched, X, zero) as (engine, explicands):
        seen.clear()
        found = METHODS[method](engine, explicands)
    every = torch.cat(seen)
    assert len(every) == found.evaluations.sum() == engine.forwards
    assert not (every == 0).all(dim=1).any()
    assert not (every[:, None] == X).all(dim=2).any()


@pytest.mark.parametrize("method", METHODS)
def test_parts_a_row_lacks_are_no_players(method):
    present = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]).bool()
    own = torch.where(present, 0.0, X)  # where there is no part, the baseline is the row itself
    with playing(score, X, own, present=present) as (engine, explicands):
        found = METHODS[method](engine, explicands)
    assert (found.values[~present] == 0).all()
    torch.testing.assert_close(found.values.sum(dim=1), explicands.change)
    assert found.evaluations[2:].tolist() == [0, 0]
    if method != "orders":
        assert found.evaluations.tolist() == [2**5 - 2, 2**2 - 2, 0, 0]
    with playing(
        lambda x: score(
            torch.stack([x[:, 0], X[1:2, 1].expand(len(x)), x[:, 1], *X[1:2, 3:].T.expand(2, len(x))], dim=1)
        ),
        X[1:2, [0, 2]],
        torch.zeros(1, 2).double(),
    ) as (engine, alone):
        small = METHODS[method](engine, alone)
    torch.testing.assert_close(found.values[1, [0, 2]], small.values[0])


def test_parts_that_are_the_same_in_row_and_baseline_are_no_players():
    x, baseline = X.clone(), torch.zeros(1, 5).double()
    x[0, :3] = 0
    with playing(score, x, baseline) as (engine, explicands):
        assert players_of(explicands)[0].tolist() == [False, False, False, True, True]
        assert sorted(game.players for game in games(engine, explicands, lambda players: 1)) == [2, 5]
        background = torch.tensor([[0.0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]).double()
        assert players_of(explicands, (background,))[0].tolist() == [False, True, False, True, True]
        found = exact_shapley(engine, explicands)
    whole = explain(lambda z: score(z + 0 * z), x, method="exact_shapley", baseline=baseline + 1e-300)
    torch.testing.assert_close(found.values, whole.values, atol=1e-12, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_neither_batches_nor_the_number_of_games_matter(method, monkeypatch):
    baseline = torch.zeros(1, 5).double()
    with playing(score, X, baseline) as (engine, explicands):
        whole = METHODS[method](engine, explicands)
    monkeypatch.setattr("auditkit.attribution.shapley.game.WORTHS", 1)
    with playing(score, X, baseline, size=3) as (engine, explicands):
        apart = METHODS[method](engine, explicands)
    torch.testing.assert_close(whole.values, apart.values, atol=1e-12, rtol=0)
    assert whole.evaluations.tolist() == apart.evaluations.tolist()


def test_a_forced_want_of_memory_gives_the_same_numbers():
    limit = 7

    def tight(x: Tensor) -> Tensor:
        if len(x) > limit:
            raise torch.OutOfMemoryError("made up")
        return score(x)

    baseline = torch.zeros(1, 5).double()
    with playing(score, X, baseline) as (engine, explicands):
        whole = exact_shapley(engine, explicands)
        tightened = Scorer(PlainModel.of(tight, (X,)), InputSpace.trace(PlainModel.of(tight, (X,)), (X,)), 64)
        again = exact_shapley(tightened, explicands)
    torch.testing.assert_close(whole.values, again.values)
    assert tightened.size <= limit


def test_maps_share_a_cell_among_its_places():
    labels = torch.tensor([[[0, 0, 1], [0, 0, 1]]])
    x = torch.randn((2, 1, 2, 3), generator=torch.Generator().manual_seed(2)).double()

    def f(z: Tensor) -> Tensor:
        return torch.tanh(z.flatten(1)).prod(dim=1) + z.flatten(1).sum(dim=1)

    with playing(lambda z: f(z), x, torch.zeros_like(x[:1]), shape=(1, 2, 3)) as (engine, explicands):
        cells = replace(explicands, partition=Partition(("a", "b"), (labels,)))
        found = exact_shapley(engine, cells)
    torch.testing.assert_close(found.maps[:, 0, 0], found.values[:, 0] / 4)
    torch.testing.assert_close(found.maps.sum(dim=(1, 2)), explicands.change)
