"""CKA: what it must not see, what it must see, and that few rows do not make strangers alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.statistics.cka import linear_cka


def biased(x, y):
    """The plain estimate, as it is usually computed."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return ((x.T @ y) ** 2).sum() / np.sqrt(((x.T @ x) ** 2).sum() * ((y.T @ y) ** 2).sum())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(8, 60), width=st.integers(1, 20), scale=st.floats(0.01, 100))
def test_rotation_scale_and_shift_change_nothing(seed, rows, width, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    turned = scale * x @ np.linalg.qr(rng.normal(size=(width, width)))[0] + rng.normal(size=width)
    y = rng.normal(size=(rows, 7)) + x[:, :1]
    assert linear_cka(turned, y) == pytest.approx(linear_cka(x, y), abs=1e-6)
    assert linear_cka(x, turned) == pytest.approx(1.0, abs=1e-6)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x), abs=1e-12)


def test_unrelated_representations_are_unlike_even_where_features_outnumber_rows():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(40, 300)), rng.normal(size=(40, 300))) for _ in range(20)]
    assert abs(np.mean([linear_cka(x, y) for x, y in pairs])) < 0.02
    assert np.mean([biased(x, y) for x, y in pairs]) > 0.8  # what the plain estimate says of the same


def test_it_agrees_with_the_plain_estimate_where_rows_are_many():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 5))
    y = np.concatenate([x[:, :3], rng.normal(size=(2000, 2))], axis=1)
    assert linear_cka(x, y) == pytest.approx(biased(x, y), abs=0.01)
    assert 0.5 < linear_cka(x, y) < 0.7


def test_the_hsic_estimate_is_that_of_its_definition():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 4))

    def hsic(first, second):
        n, one = len(first), np.ones(len(first))
        k, m = first @ first.T, second @ second.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        whole = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (whole - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    assert linear_cka(x, y) == pytest.approx(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)), abs=1e-9)


def test_what_cannot_be_compared():
    assert np.isnan(linear_cka(np.ones((5, 2)), np.eye(5)))
    with pytest.raises(ValueError, match="the same 4 rows or more"):
        linear_cka(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="got 5 and 4"):
        linear_cka(np.eye(5), np.eye(4))
