"""The made-up vibration signals: the physics they claim, in their spectra, and OOD sets that differ as they say."""

import time

import numpy as np
import pytest

from auditkit.subject.builtin import builtin
from auditkit.subject.builtin.vibration import RATE, STEPS, signals, vibration
from auditkit.subject.preprocessing import fit_preprocessing

LEARNED = ("train", "validation", "test")


@pytest.fixture(scope="module")
def made():
    return vibration()


def power(series, low, high, rate=RATE):
    """Mean power of each row and channel between two frequencies."""
    spectrum = np.abs(np.fft.rfft(series * np.hanning(STEPS)[None, :, None], axis=1)) ** 2
    frequencies = np.fft.rfftfreq(STEPS, 1 / rate)
    return spectrum[:, (frequencies >= low) & (frequencies <= high)].mean(axis=1)


def by_state(split, values):
    states = np.array(split.column("state").to_pylist())
    return {state: float(np.median(values[states == state])) for state in ("healthy", "imbalanced", "worn")}


def test_the_same_signals_every_time_and_quickly(made):
    began = time.process_time()
    again, schema = builtin("vibration")
    assert time.process_time() - began < 1.0
    assert {name: split.digest for name, split in again.items()} == {n: s.digest for n, s in made[0].items()}
    assert schema == made[1]


def test_every_signal_is_in_one_split_and_has_three_channels(made):
    every = np.concatenate([made[0][name].arrays["series"] for name in LEARNED])
    assert every.shape == (3_000, 64, 3)
    assert every.dtype == np.float32
    assert len(np.unique(every.reshape(3_000, -1), axis=0)) == 3_000
    for name in LEARNED:
        assert np.bincount(made[0][name].labels, minlength=3).min() > 0.3 * len(made[0][name])


def test_imbalance_is_power_at_the_shafts_frequency_across_the_shaft(made):
    split = made[0]["train"]
    shaft = power(split.arrays["series"], 16, 40)
    for channel in (0, 1):
        found = by_state(split, shaft[:, channel])
        assert found["imbalanced"] > 2.5 * found["healthy"]
    along = by_state(split, shaft[:, 2])
    assert along["imbalanced"] < 1.3 * along["healthy"]


def test_wear_is_power_where_a_strike_rings(made):
    split = made[0]["train"]
    found = by_state(split, power(split.arrays["series"], 110, 190)[:, 0])
    assert found["worn"] > 4 * found["healthy"]
    assert found["imbalanced"] < 1.3 * found["healthy"]


def test_an_imbalanced_shaft_turns_its_force_from_one_sensor_to_the_next():
    states, sites = np.full(200, "imbalanced"), np.full(200, "north")
    series = signals(states, sites, np.random.default_rng(0))
    spectrum = np.fft.rfft(series * np.hanning(STEPS)[None, :, None], axis=1)
    first = spectrum[:, 2:6][np.arange(200), np.abs(spectrum[:, 2:6, 0]).argmax(axis=1)]
    turned = np.angle(first[:, 1] / first[:, 0])
    assert np.median(turned) == pytest.approx(np.pi / 2, abs=0.1)


def test_the_harbour_is_small_and_noisy(made):
    split = made[0]["train"]
    sites = np.array(split.column("site").to_pylist())
    assert 0.1 < (sites == "harbour").mean() < 0.2
    noise = power(split.arrays["series"], 220, 256)[:, 2]
    healthy = np.array(split.column("state").to_pylist()) == "healthy"
    assert np.median(noise[(sites == "harbour") & healthy]) > 3 * np.median(noise[(sites == "north") & healthy])


def test_half_the_rate_doubles_every_frequency(made):
    split = made[0]["half_rate"]
    healthy = np.array(split.column("state").to_pylist()) == "healthy"
    series = split.arrays["series"][healthy]
    right, wrong = power(series, 16, 40, RATE / 2)[:, 0], power(series, 96, 128, RATE / 2)[:, 0]
    assert np.median(right) > 4 * np.median(wrong)
    spectrum = np.abs(np.fft.rfft(series[:, :, 0] * np.hanning(STEPS), axis=1))
    peaks = np.fft.rfftfreq(STEPS, 1 / RATE)[spectrum.argmax(axis=1)]
    assert 40 < np.median(peaks) < 70


def test_the_dead_sensor_is_silent_and_the_others_are_the_test_set(made):
    test, dead = made[0]["test"].arrays["series"], made[0]["dead_sensor"].arrays["series"]
    assert not dead[:, :, 1].any()
    assert np.array_equal(dead[:, :, [0, 2]], test[:, :, [0, 2]])
    assert test[:, :, 1].std() > 0.5


def test_a_loose_foot_answers_at_half_the_shafts_frequency_and_has_no_class(made):
    loose, split = made[0]["loose"], made[0]["test"]
    assert (loose.labels == -1).all()
    below = power(loose.arrays["series"], 7, 17)[:, 1]
    assert np.median(below) > 2 * by_state(split, power(split.arrays["series"], 7, 17)[:, 1])["healthy"]


def test_channels_are_scaled_each_by_itself(made):
    splits, schema = made
    preprocessing = fit_preprocessing(splits["train"], schema, {"kind": "series"})
    (series,) = preprocessing.encode(splits["train"])
    assert series.mean((0, 1)).abs().max() < 1e-3
    assert (series.std((0, 1)) - 1).abs().max() < 1e-3
