"""Proxies: planted ones are found and named, independent ones are not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auditkit.insights.proxies import (
    FOLDS,
    _column_scores,
    _counts,
    _dealt,
    areas_of_counts,
    category_codes,
    number_codes,
    proxies,
    representation,
    stratified_folds,
)

RNG = np.random.default_rng


def test_a_planted_proxy_is_found_and_an_independent_column_is_not():
    rng = RNG(0)
    groups = (rng.random(800) < 0.3).astype(int)
    columns = {
        "proxy": number_codes(groups + rng.normal(scale=0.8, size=800)),
        "word": category_codes(np.where(groups + rng.random(800) > 0.7, "x", "y")),
        "noise": number_codes(rng.normal(size=800)),
        "many": category_codes(rng.integers(200, size=800).astype(str)),
        "constant": category_codes(np.repeat("c", 800)),
    }
    found = proxies(columns, groups, rng)
    assert {name for name, proxy in found.items() if proxy.found} == {"proxy", "word"}
    assert found["proxy"].lower > 0.7
    assert found["constant"].auc == pytest.approx(0.5)
    assert found["noise"].lower < 0.5 < found["noise"].upper


def test_areas_of_counts_are_those_of_the_rows():
    rng = RNG(1)
    groups, codes = rng.integers(3, size=300), rng.integers(7, size=300)
    folds = stratified_folds(groups, rng)
    scores = _column_scores(codes, groups, folds)
    by_rows = [
        np.mean([roc_auc_score(groups[own] == group, scores[own, group]) for group in range(3)])
        for own in (folds == fold for fold in range(FOLDS))
    ]
    assert areas_of_counts(_counts(codes, groups, folds, 3)).item() == pytest.approx(np.mean(by_rows))
    assert proxies({"c": codes}, groups, RNG(0), draws=9)["c"].auc == pytest.approx(
        areas_of_counts(_counts(codes, groups, stratified_folds(groups, RNG(0)), 3)).item()
    )


def test_false_alarms_are_as_rare_as_promised():
    alarms = 0
    for seed in range(40):
        rng = RNG([2, seed])
        groups = rng.permutation(np.arange(150) % 2)
        columns = {str(place): number_codes(rng.normal(size=150)) for place in range(6)}
        alarms += any(proxy.found for proxy in proxies(columns, groups, rng, draws=99).values())
    assert alarms <= 6


def test_intervals_cover_the_area():
    """One threshold on a normal number: the area of its classifier is known from a large sample."""
    big = RNG(3)
    groups = np.arange(40_000) % 2
    truth = proxies({"x": (groups + big.normal(size=40_000) > 0.5).astype(int)}, groups, big, draws=3)["x"].auc
    inside = 0
    for seed in range(100):
        rng = RNG([4, seed])
        own = np.arange(300) % 2
        found = proxies({"x": (own + rng.normal(size=300) > 0.5).astype(int)}, own, rng, draws=3)["x"]
        inside += found.lower <= truth <= found.upper
    assert inside >= 90


def test_penultimate_features_give_away_what_lies_along_any_direction():
    rng = RNG(5)
    groups = rng.permutation(np.arange(400) % 2)
    features = rng.normal(size=(400, 30))
    hidden = features + 0.5 * (2 * groups[:, None] - 1) * rng.normal(size=30)
    assert representation(hidden, groups, RNG(0)).found
    assert not representation(features, groups, RNG(0)).found
    assert representation(np.ones((400, 3)), groups, RNG(0)).auc == pytest.approx(0.5)


def test_wide_features_are_narrowed_and_scale_does_not_matter():
    rng = RNG(6)
    groups = np.arange(200) % 2
    features = rng.normal(size=(200, 400)) + 3.0 * groups[:, None] * (np.arange(400) < 5)
    scaled = features * 1e4
    a, b = (representation(part, groups, RNG(0), draws=9) for part in (features, scaled))
    assert a.auc == pytest.approx(b.auc, abs=1e-6)
    assert a.auc > 0.8


def test_folds_and_dealings_keep_the_mix_of_groups():
    groups = np.repeat([0, 1, 2], [100, 50, 10])
    folds = stratified_folds(groups, RNG(0))
    assert np.ptp([np.bincount(groups[folds == fold]) for fold in range(FOLDS)], axis=0).max() <= 1
    dealt = _dealt(groups, folds, 20, RNG(1))
    for fold in range(FOLDS):
        own = folds == fold
        assert (np.sort(dealt[:, own], axis=1) == np.sort(groups[own])).all()
    with pytest.raises(ValueError, match="10 rows or more"):
        stratified_folds(np.repeat([0, 1], [100, 4]), RNG(0))


def test_missing_numbers_and_rare_categories_have_codes():
    values = np.concatenate([np.arange(160.0), [np.nan, np.inf]])
    codes = number_codes(values)
    assert codes[-2:].tolist() == [0, 0]
    assert set(np.bincount(codes[:-2])[1:]) == {10}
    assert number_codes(np.full(5, np.nan)).tolist() == [0] * 5
    many = category_codes(np.array([str(place) for place in range(500)] + ["often"] * 20))
    assert many.max() == 63
    assert len(set(many[-20:])) == 1
    assert many[-1] != 63
