"""Guesses from names and values, on tables where the right answer is known."""

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import InputError
from auditkit.starter.guess import guess
from auditkit.subject.tables import from_memory

N = 400


def people(**more):
    rng = np.random.default_rng(0)
    truth = rng.random(N) < 0.4
    columns = {
        "customer_id": np.arange(N),
        "sex": rng.choice(["Female", "Male"], N),
        "age": rng.integers(18, 80, N),
        "language": rng.choice(["de", "en", "fr"], N),
        "wage": rng.normal(size=N) + truth,
        "defaulted": np.where(truth, "yes", "no"),
    }
    return truth, pd.DataFrame(columns | {name: make(truth, rng) for name, make in more.items()})


def look(frame, **settings):
    return guess(from_memory(frame), "people.csv", **settings)


def test_a_table_of_people():
    found = look(people()[1])
    assert (found.label, found.positive, found.classes) == ("defaulted", "yes", ("no", "yes"))
    assert found.sensitive == ("sex",)
    assert found.features == ("language", "wage")
    assert found.left_out == {"customer_id": "names rows", "sex": "says who people are", "age": "says who people are"}
    assert found.predictions is None


def test_groups_are_known_by_their_values_too():
    _, frame = people(G=lambda truth, rng: rng.choice(["male", "female"], N))
    assert look(frame.drop(columns="sex")).sensitive == ("G",)


def test_words_inside_other_words_speak_of_nobody():
    _, frame = people(average=lambda truth, rng: rng.choice(["low", "high"], N))
    assert "average" not in look(frame).sensitive


@pytest.mark.parametrize(
    ("more", "expected", "positive"),
    [
        ({"p_default": lambda t, r: np.clip(0.5 * t + 0.5 * r.random(N), 0, 1)}, None, "yes"),
        (
            {"risk_score": lambda t, r: np.clip(0.4 * t + 0.5 * r.random(N), 0, 1)},
            {"score": "risk_score", "threshold": 0.5},
            "yes",
        ),
        (
            {"credit_score": lambda t, r: np.round(600 - 80 * t + 40 * r.normal(size=N))},
            {"score": "credit_score"},
            "no",
        ),
        (
            {"prediction": lambda t, r: np.where(t ^ (r.random(N) < 0.1), "yes", "no")},
            {"decision": "prediction"},
            "yes",
        ),
        (
            {"prob_no": lambda t, r: np.where(t, 0.25, 0.75), "prob_yes": lambda t, r: np.where(t, 0.75, 0.25)},
            {"probabilities": {"no": "prob_no", "yes": "prob_yes"}},
            "yes",
        ),
        (
            {"logit_no": lambda t, r: r.normal(size=N), "logit_yes": lambda t, r: r.normal(size=N)},
            {"logits": {"no": "logit_no", "yes": "logit_yes"}},
            "yes",
        ),
    ],
)
def test_what_a_model_said_is_found(more, expected, positive):
    found = look(people(**more)[1])
    assert found.positive == positive
    if expected is None:
        assert found.predictions is None
        return
    assert {key: found.predictions[key] for key in expected} == expected
    assert not set(more) & set(found.features)


def test_a_threshold_is_where_the_decisions_change():
    _, frame = people(score=lambda t, r: np.clip(0.3 * t + 0.6 * r.random(N), 0, 1))
    frame["prediction"] = np.where(frame.score >= 0.31, "yes", "no")
    found = look(frame)
    assert found.predictions["score"] == "score"
    decided = frame.score >= found.predictions["threshold"]
    assert (decided == (frame.prediction == "yes")).all()


def test_another_form_of_the_label_is_no_feature():
    _, frame = people(overdue=lambda truth, rng: (truth ^ (rng.random(N) < 0.01)).astype(int))
    assert look(frame).left_out["overdue"] == "next to the label itself"


def test_one_column_of_sentences_is_what_is_learned_from():
    rng = np.random.default_rng(1)
    words = ["a", "very", "good", "bad", "film", "with", "some", "people", "in", "it"]
    frame = pd.DataFrame({"sentence": [" ".join(rng.choice(words, 8)) for _ in range(90)], "label": [0, 1, 1] * 30})
    found = look(frame)
    assert (found.label, found.features, found.kinds["sentence"]) == ("label", ("sentence",), "text")


def test_the_models_classes_find_the_label():
    _, frame = people(grade=lambda truth, rng: rng.choice(["a", "b"], N))
    assert look(frame, classes=["a", "b"]).label == "grade"
    assert look(frame, label="grade").label == "grade"


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (lambda frame: frame[["sex", "age"]], {}, "cannot tell which column is the label"),
        (
            lambda frame: frame.assign(street=[f"{n} High St" for n in range(N)]),
            {"label": "street"},
            "no label of clas",
        ),
        (lambda frame: frame, {"label": "language", "task": "regression"}, "does not hold numbers"),
        (lambda frame: frame[["sex", "language"]], {"task": "regression"}, "none has a number"),
        (lambda frame: frame, {"label": "wages"}, "did you mean 'wage'"),
        (lambda frame: frame.assign(defaulted=frame.defaulted.where(frame.index > 3)), {}, "4 of 400 labels"),
        (lambda frame: frame, {"classes": ["x", "z"]}, "0 columns hold its classes"),
    ],
)
def test_what_cannot_be_guessed_is_refused(change, settings, says):
    with pytest.raises(InputError, match=says):
        look(change(people()[1]), **settings)
