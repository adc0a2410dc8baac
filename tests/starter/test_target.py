"""Which column is the label, and whether it holds classes or numbers, on tables where the right answer is known."""

import numpy as np
import pandas as pd
import pytest

from auditkit.starter.guess import guess
from auditkit.subject.tables import from_memory

N = 300
RNG = np.random.default_rng(4)
COLUMNS = {
    "sex": RNG.choice(["f", "m"], N),
    "rooms": RNG.integers(1, 7, N),
    "area": np.round(RNG.normal(80, 20, N), 1),
    "home": RNG.choice(["flat", "house"], N),
    "rent": np.round(RNG.normal(900, 200, N), 2),
    "target": np.round(RNG.normal(5, 2, N), 3),
    "defaulted": RNG.choice(["no", "yes"], N),
    "class": RNG.choice(["a", "b"], N),
    "income": RNG.normal(50, 9, N),
}


def look(*names, **settings):
    return guess(from_memory(pd.DataFrame({name: COLUMNS[name] for name in names})), "rows.csv", **settings)


@pytest.mark.parametrize(
    ("names", "label", "task"),
    [
        (("sex", "rooms", "area", "home", "rent"), "rent", "regression"),  # the last column
        (("rent", "area", "rooms", "home"), "home", "classification"),
        (("target", "area", "rooms", "home"), "target", "regression"),  # by its name
        (("defaulted", "target", "area"), "defaulted", "classification"),  # of two by name the one of classes
        (("class", "area", "income"), "class", "classification"),  # income may be an outcome, and of numbers a feature
    ],
)
def test_the_label_is_found_by_name_and_else_by_place(names, label, task):
    found = look(*names)
    assert (found.label, found.task) == (label, task)
    assert (found.classes == ()) == (task == "regression")
    assert found.label not in found.features


def test_numbers_come_with_their_spread_and_without_a_positive_class():
    found = look("sex", "area", "rent")
    assert found.positive is None
    assert found.spread == pytest.approx(COLUMNS["rent"].std())
    assert "300" in found.why_task or "different numbers" in found.why_task
    assert found.sensitive == ("sex",)


def test_few_numbers_are_classes_unless_a_model_predicts_a_number():
    assert look("area", "rooms", label="rooms").task == "classification"
    found = look("area", "rooms", label="rooms", task="regression")
    assert (found.task, found.classes) == ("regression", ())


def test_columns_that_sound_like_the_label_too_are_named():
    assert look("class", "area", "defaulted").why == "a guess, by its name; class would do as well"
    assert look("area", "defaulted").why == "a guess, by its name"


@pytest.mark.parametrize(
    ("name", "made", "expected"),
    [
        ("predicted_rent", lambda rent: rent + 500, "predicted_rent"),  # far off, but called what it is
        ("score", lambda rent: rent + RNG.normal(0, 30, N), "score"),
        ("credit_score", lambda rent: RNG.normal(600, 40, N), None),  # of something else
        ("guess", lambda rent: rent, None),
    ],
)
def test_predicted_numbers_are_found_by_name_and_nearness(name, made, expected):
    frame = pd.DataFrame({"area": COLUMNS["area"], name: made(COLUMNS["rent"]), "rent": COLUMNS["rent"]})
    found = guess(from_memory(frame), "rows.csv")
    assert found.label == "rent"
    assert found.predictions == (None if expected is None else {"number": expected})
    assert name not in found.features
