"""The policy and its task: physics as published, a reference that holds the pole, and learning that lasts."""

import numpy as np
import pytest
import torch

from auditkit.errors import InputError
from auditkit.performance.returns import return_interval
from auditkit.subject import control
from auditkit.subject.builtin import builtin
from auditkit.subject.control import HORIZON, OBSERVED, WORLDS, play, regulator
from auditkit.training.architectures.policy import Policy
from auditkit.training.recipe import load_recipe
from auditkit.training.reinforcement import advantages, scaled, scaling_of
from auditkit.training.train import train

pytest.importorskip("gymnasium")


@pytest.fixture(scope="module")
def subject():
    return builtin("cartpole")


@pytest.fixture(scope="module")
def model(subject):
    recipe = load_recipe("cartpole").model_copy(update={"epochs": 2})
    return train(recipe, *subject, device="cpu")


def acting(model):
    def act(seen):
        with torch.no_grad():
            return model.module(scaled(model.preprocessing, seen)).argmax(1).numpy()

    return act


def test_the_trained_policy_holds_the_pole(model):
    returns = play(acting(model), 20, seed=12345).returns
    assert returns.mean() >= 195


def test_pushing_one_way_only_falls_within_ten_steps_or_so():
    played = play(lambda seen: np.ones(len(seen), dtype=np.int64), 50, seed=0)
    assert 8 <= played.returns.min() <= played.returns.max() <= 11
    assert (played.observations[0] <= 0.05).all()
    speeds = played.observations[1, :, 1] - played.observations[0, :, 1]
    assert speeds.mean() == pytest.approx(
        0.02 * 10 / 1.1 * (1 + 0.1 * 0.5 / (1.1 * 0.5 * (4 / 3 - 0.1 / 1.1))), rel=0.01
    )


def test_the_reference_controller_lasts_to_the_end():
    assert (play(regulator(), 20, seed=7).returns == HORIZON).all()


def test_the_same_seed_plays_the_same_episodes_and_other_physics_others():
    once, again = (play(regulator(), 5, seed=1) for _ in range(2))
    np.testing.assert_array_equal(once.observations, again.observations)
    for changes in WORLDS.values():
        other = play(regulator(), 5, seed=1, changes=changes)
        np.testing.assert_array_equal(once.observations[0], other.observations[0])
        assert not np.allclose(once.observations[1], other.observations[1])


def test_rows_are_labelled_by_the_reference_and_no_episode_is_in_two_splits(subject):
    splits, schema = subject
    assert schema.features == OBSERVED
    for split in splits.values():
        seen = np.stack([split.table[name].to_numpy() for name in OBSERVED], axis=1)
        np.testing.assert_array_equal(regulator()(seen), split.labels)
    starts = [set(splits[name].table["cart_position"].to_pylist()) for name in ("train", "validation", "test")]
    assert not starts[0] & starts[1]
    assert not starts[0] & starts[2]


def test_advantages_are_gains_above_the_mean_of_those_still_going_on():
    alive = np.array([[True, True, True], [True, True, False], [True, False, False]])
    gains = [1 + 0.99 + 0.99**2, 1 + 0.99, 1]
    found = advantages(alive)
    first = np.array(gains) - np.mean(gains)
    assert found[0] / found[0, 0] == pytest.approx(first / first[0])
    assert found[2, 0] == 0
    assert not found[~alive].any()


def test_returns_all_alike_keep_an_interval():
    lower, upper = return_interval(np.full(50, float(HORIZON)), 0.95)
    assert 440 < lower < 480
    assert upper == HORIZON
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        low, high = return_interval(rng.uniform(0, HORIZON, size=50), 0.95)
        covered.append(low <= HORIZON / 2 <= high)
    assert 0.92 <= np.mean(covered) <= 0.99


def test_the_same_seed_gives_the_same_weights(subject, model):
    recipe = load_recipe("cartpole").model_copy(update={"epochs": 1, "arguments": {"hidden": [8], "episodes": 4}})
    assert train(recipe, *subject, device="cpu").digest == train(recipe, *subject, device="cpu").digest


def test_other_columns_are_no_observations():
    with pytest.raises(ValueError, match="observed in 4 numbers"):
        Policy(numeric=3, categories=[], classes=2)
    splits, _ = builtin("digits")
    from auditkit.subject.preprocessing import fit_images

    with pytest.raises(InputError, match="a policy observes"):
        scaling_of(fit_images(splits["train"]))


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"auditkit\[control\]"):
        control.play(regulator, 1, seed=0)
