"""Adjusted p-values: textbook cases, an oracle, properties, and the trap of places taken for ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from auditkit.statistics.multiplicity import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), max_size=25)


def test_benjamini_and_hochbergs_own_example() -> None:
    """Benjamini and Hochberg 1995, section 4.1, 15 tests: at 0.05 Bonferroni (and Holm) reject 3, BH 4."""
    raw = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    raw += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert (benjamini_hochberg(raw) <= 0.05).sum() == 4
    assert (holm(raw) <= 0.05).sum() == 3
    assert benjamini_hochberg(raw)[3] == pytest.approx(15 * 0.0095 / 4)
    assert holm(raw)[3] == pytest.approx(12 * 0.0095)


def test_holm_by_hand_out_of_order_and_with_ties() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, 0.02, 0.5]) == pytest.approx([0.06, 0.06, 0.5])
    assert benjamini_hochberg([0.02, 0.5, 0.02]) == pytest.approx([0.03, 0.5, 0.03])


def test_places_are_not_ranks() -> None:
    """`argsort + 1` gives each place's rank only where the p-values are sorted already."""
    raw = np.array([0.9, 0.8, 0.0009, 0.7])
    wrong = len(raw) * raw / (raw.argsort() + 1)
    right = len(raw) * raw[2] / 1
    assert benjamini_hochberg(raw)[2] == pytest.approx(right)
    assert wrong[2] != pytest.approx(right)


def test_places_for_ranks_find_something_in_most_samples_of_nothing() -> None:
    rng, tests, level, draws = np.random.default_rng(0), 20, 0.10, 2000
    right = wrong = family = 0
    for raw in rng.uniform(size=(draws, tests)):
        right += (benjamini_hochberg(raw) <= level).any()
        family += (holm(raw) <= level).any()
        wrong += (raw <= level * (raw.argsort() + 1) / tests).any()
    assert right / draws == pytest.approx(level, abs=0.02)
    assert family / draws == pytest.approx(level, abs=0.02)
    assert wrong / draws == pytest.approx(0.64, abs=0.04)


def test_the_share_of_false_finds_is_kept_where_there_is_something_to_find() -> None:
    from scipy.special import ndtr

    rng, level, shares, falsely = np.random.default_rng(1), 0.10, [], 0
    for _ in range(1000):
        z = rng.normal(size=40)
        z[:10] += 3
        raw = 2 * ndtr(-np.abs(z))
        found = benjamini_hochberg(raw) <= level
        shares.append(found[10:].sum() / max(1, found.sum()))
        falsely += (holm(raw)[10:] <= level).any()
    assert np.mean(shares) <= level
    assert falsely / 1000 <= level + 0.02


@given(p_values)
def test_adjusted_values_keep_their_order(raw: list[float]) -> None:
    p, h, bh = np.array(raw), holm(raw), benjamini_hochberg(raw)
    assert h.shape == bh.shape == p.shape
    order = np.argsort(p, kind="stable")
    for adjusted in (h, bh):
        assert (adjusted >= p).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[order]) >= 0).all()
    assert (h <= np.minimum(1, len(p) * p) + 1e-12).all()
    assert (bh <= h + 1e-12).all()
    if raw:
        assert bh == pytest.approx(false_discovery_control(raw), abs=1e-12)


@given(p_values, st.randoms())
def test_shuffling_shuffles(raw: list[float], random) -> None:
    places = list(range(len(raw)))
    random.shuffle(places)
    shuffled = [raw[place] for place in places]
    for adjust in (holm, benjamini_hochberg):
        assert adjust(shuffled).tolist() == adjust(raw)[places].tolist()


@pytest.mark.parametrize("raw", [[0.1, np.nan], [1.1], [-0.1], [[0.1]]])
@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_is_no_p_value_is_refused(raw: list, adjust) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjust(raw)
