"""What is left out of the features, and why: identifiers, other models' answers, and what tells the label."""

import numpy as np
import pandas as pd
import pytest

from auditkit.starter.columns import columns_of
from auditkit.starter.guess import guess
from auditkit.starter.identifiers import INDEX, names_rows
from auditkit.starter.tells import FOLLOWS, ITSELF, MISSING, NAMED
from auditkit.subject.tables import from_memory, read_table

N = 400
RNG = np.random.default_rng(7)
TRUTH = RNG.random(N) < 0.4
RENT = np.round(RNG.lognormal(6.5, 0.4, N), 2)
ORDER = RNG.permutation(N)
AMOUNTS = RNG.permutation(np.unique(RNG.integers(1_000, 900_000, 2 * N)))[:N]


def left_out(label, values, **more):
    frame = pd.DataFrame({"area": RNG.normal(size=N), **more, label: values})
    return guess(from_memory(frame), "rows.csv", label).left_out


def of_classes(**more):
    return left_out("two_year_recid", TRUTH.astype(int), **more)


def of_numbers(**more):
    return left_out("rent", RENT, **more)


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("Unnamed: 0", np.arange(N), INDEX),
        ("Unnamed: 0", ORDER, INDEX),
        ("case", [f"{n}F" for n in ORDER], "a different word in every row, as identifiers are"),
        ("case", ORDER + 1, "a different whole number in every row, as identifiers are"),
        ("case", np.arange(N) * 1000 + 5, "a different whole number in every row, as identifiers are"),
        ("phone", 10_000_000 + ORDER * 170_003, "names rows"),
        ("account", 10_000_000 + ORDER * 170_003, "a different whole number in every row, as identifiers are"),
        ("loan", AMOUNTS, None),  # whole numbers that happen to differ
        ("loan", ORDER + 0.5, None),
        ("rooms", RNG.integers(1, 6, N), None),
    ],
)
def test_identifiers(name, values, why):
    assert of_classes(**{name: values}).get(name) == why
    assert of_numbers(**{name: values}).get(name) == why


def test_an_index_that_pandas_wrote_is_known_by_having_no_name(tmp_path):
    frame = pd.DataFrame({"area": RNG.normal(size=N), "repaid": np.where(TRUTH, "yes", "no")})
    frame.to_csv(tmp_path / "once.csv")
    pd.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    for file, names in (("once.csv", [""]), ("twice.csv", ["", "Unnamed: 0"])):
        found = guess(read_table(tmp_path / file), file)
        assert found.left_out == dict.fromkeys(names, INDEX)
        assert found.features == ("area",)
    assert guess(from_memory(frame), "rows").left_out == {}


def test_few_rows_say_nothing_of_identifiers():
    table = from_memory(pd.DataFrame({"pay": [30, 10, 50, 20], "town": list("abcd")}))
    assert [names_rows(table, column) for column in columns_of(table)] == ["", ""]


@pytest.mark.parametrize(
    "name",
    ["decile_score", "v_decile_score", "score_text", "y_pred", "predicted_class", "prob_yes", "risk-score", "yhat"],
)
def test_what_other_models_said_is_left_out(name):
    values = RNG.integers(1, 11, N)
    frame = pd.DataFrame({"area": RNG.normal(size=N), name: values, "repaid": TRUTH.astype(int)})
    found = guess(from_memory(frame), "rows.csv", look_for_answers=False)
    assert found.left_out == {name: "by its name, what a model said"}
    assert "probation_days" in guess(from_memory(frame.assign(probation_days=RNG.random(N))), "rows.csv").features


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("is_recid", TRUTH ^ (RNG.random(N) < 0.3), NAMED),
        ("arrested", TRUTH ^ (RNG.random(N) < 0.01), ITSELF),
        ("arrested", TRUTH ^ (RNG.random(N) < 0.3), None),
        ("days", np.where(TRUTH, 31 + 900 * RNG.random(N), 30 * RNG.random(N)), FOLLOWS),
        ("days", np.where(TRUTH, 25 + 900 * RNG.random(N), 30 * RNG.random(N)), None),
        ("days_to_arrest", np.where(TRUTH, 900 * RNG.random(N), np.nan), MISSING),
        ("days_to_arrest", np.where(RNG.random(N) < 0.5, RNG.random(N), np.nan), None),
        ("court", np.where(TRUTH, RNG.integers(0, 15, N), 15 + RNG.integers(0, 15, N)), ITSELF),
    ],
)
def test_what_tells_the_class(name, values, why):
    assert of_classes(**{name: values}).get(name) == why


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("rent_per_room", RNG.random(N), NAMED),
        ("logarithm", np.log(RENT), FOLLOWS),
        ("negative", -RENT, FOLLOWS),
        ("noisy", RENT + RNG.normal(0, 60, N), None),
        ("band", np.where(RENT > 800, "high", "low"), ITSELF),
        ("band", np.where(RENT + RNG.normal(0, 60, N) > 800, "high", "low"), None),
        ("one", np.arange(N) == RENT.argmax(), None),  # a single row stands together by itself
    ],
)
def test_what_tells_the_number(name, values, why):
    assert of_numbers(**{name: values}).get(name) == why


def test_a_number_that_is_the_same_within_every_district_follows_from_it():
    district = RNG.integers(0, 30, N)
    per_district = RNG.normal(900, 200, 30)
    frame = pd.DataFrame({"area": RNG.normal(size=N), "district": district, "rent": per_district[district]})
    assert guess(from_memory(frame), "rows.csv", "rent").left_out == {"district": FOLLOWS}
    noisy = frame.assign(rent=frame.rent + RNG.normal(0, 50, N))
    assert guess(from_memory(noisy), "rows.csv", "rent").left_out == {}


def test_independent_columns_are_kept():
    """Of 400 rows and 60 columns that know nothing of the label, none is left out, whatever the label is."""
    rng = np.random.default_rng(11)
    columns = {f"n{at}": rng.normal(size=N) for at in range(20)} | {f"c{at}": rng.integers(0, 8, N) for at in range(20)}
    columns |= {f"rare{at}": rng.random(N) < 0.02 for at in range(20)}
    assert of_classes(**columns) == {}
    assert of_numbers(**columns) == {}
