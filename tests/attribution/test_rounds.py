"""Rounds of draws: their mean, its error, and that nothing but the seed decides what is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attribution.rounds import Noise, Rounds, spread


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 1000))
def test_rounds_that_come_in_parts_give_the_mean_and_error_of_all(parts, seed):
    values = np.random.default_rng(seed).normal(5, 2, (sum(parts), 3))
    rounds = Rounds()
    for part in torch.from_numpy(values).split(parts):
        rounds.add(part)
    assert rounds.count == len(values)
    np.testing.assert_allclose(rounds.mean, values.mean(axis=0), rtol=1e-12)
    if len(values) > 1:
        expected = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        np.testing.assert_allclose(rounds.error, expected, rtol=1e-9)
    else:
        assert rounds.error.isnan().all()
    kept = rounds.take(torch.tensor([True, False, True]))
    assert torch.equal(kept.mean, rounds.mean[[0, 2]])
    assert torch.equal(kept.error.nan_to_num(), rounds.error[[0, 2]].nan_to_num())


def test_a_draw_looks_the_same_in_any_company():
    points = (torch.zeros(1, 3), torch.zeros(1, 2, 2))
    whole = Noise(points, seed=4)(torch.arange(10))
    again = Noise(points, seed=4)
    for index in ([7], [2, 9, 2], [0, 1]):
        for one, all_of in zip(again(torch.tensor(index)), whole, strict=True):
            assert torch.equal(one, all_of[index])
    assert not torch.equal(Noise(points, seed=5)(torch.arange(10))[0], whole[0])


def test_noise_is_standard_normal_and_mirrored():
    (drawn,) = Noise((torch.zeros(1, 4, dtype=torch.float64),), seed=0)(torch.arange(4000))
    assert torch.equal(drawn[::2], -drawn[1::2])
    assert drawn.std().item() == pytest.approx(1, abs=0.02)
    (free,) = Noise((torch.zeros(1, 1),), seed=0, mirrored=False)(torch.arange(4000))
    assert free.mean().item() == pytest.approx(0, abs=4 / np.sqrt(4000))
    assert free.unique().numel() == 4000


def test_the_spread_is_a_share_of_each_rows_range():
    (width,) = spread((torch.tensor([[0.0, 10.0], [3.0, 3.0]]),), 0.1)
    assert width.tolist() == [[1.0], [0.0]]
