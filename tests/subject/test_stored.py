"""Stored predictions as logits: decisions exactly as stored, refusals in one sentence."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from auditkit.errors import InputError
from auditkit.spec import AuditSpec, PredictionsSpec, parse
from auditkit.subject.blackbox.stored import stored_model, stored_subject
from auditkit.subject.data import Schema, Split

COLUMNS = {"label": "y", "positive": "1", "sensitive": ["sex"]}


def frame(**columns):
    given = {"y": [0, 1, 1, 0], "sex": ["f", "m", "f", "m"], **columns}
    return pd.DataFrame(given)


def subject(rows, predictions, columns=COLUMNS, **settings):
    spec = parse({"predictions": predictions, "columns": columns, **settings}, AuditSpec, "audit")
    return stored_subject(spec, "stored", [("test", "test", rows)])


def answers(rows, predictions, columns=COLUMNS):
    made = subject(rows, predictions, columns)
    return made.model.logits(made.model.encode(made.splits[0])).numpy()


def test_logits_are_handed_out_as_they_are():
    rows = frame(a=[0.5, -1.0, 2.0, 30.0], b=[1e-9, 1.0, 3.0, -30.0])
    found = answers(rows, {"logits": {"0": "a", "1": "b"}})
    assert found.tolist() == rows[["a", "b"]].to_numpy().tolist()


def test_the_order_of_classes_is_that_of_the_answers():
    made = subject(frame(a=[1.0] * 4, b=[0.0] * 4), {"logits": {"1": "a", "0": "b"}})
    assert made.schema.classes == ("1", "0")
    assert made.splits[0].labels.tolist() == [1, 0, 0, 1]


def test_probabilities_come_back_from_the_softmax():
    chances = np.array([[0.2, 0.8], [0.999999, 0.000001], [0.5, 0.5], [1.0, 0.0]])
    found = answers(frame(a=chances[:, 0], b=chances[:, 1]), {"probabilities": {"0": "a", "1": "b"}})
    softmax = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
    assert softmax == pytest.approx(chances, abs=1e-15)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0, 1), st.sampled_from(["0", "1"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_score_decides_exactly_at_its_threshold_and_keeps_its_order(scores, threshold, positive, chance):
    scale = 1 if chance else 1000
    values = np.array(scores) * scale
    table = pa.table({"y": [0, 1] * len(values), "s": np.repeat(values, 2)})
    schema = Schema((), ("0", "1"), "y", positive)
    split = Split("test", "test", table, schema)
    model = stored_model(PredictionsSpec(score="s", threshold=threshold * scale), [split], schema)
    logits = model.logits(model.encode(split)).numpy()
    place = schema.positive_index
    assert (logits.argmax(axis=1) == place).tolist() == (np.repeat(values, 2) >= threshold * scale).tolist()
    log_p = log_softmax(logits, axis=1)
    assert (log_p.argmax(axis=1) == place).tolist() == (np.repeat(values, 2) >= threshold * scale).tolist()
    odds = (logits[:, place] - logits[:, 1 - place])[::2]
    assert (np.diff(odds[np.argsort(values, kind="stable")]) >= 0).all()


def test_a_probability_at_one_half_is_its_own_softmax():
    scores = np.array([0.1, 0.5, 0.93, 1e-12])
    logits = answers(frame(s=scores), {"score": "s"})
    assert 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])) == pytest.approx(scores, abs=1e-12)


def test_what_a_score_loses_is_told():
    chance, shifted, points = (
        subject(frame(s=values), {"score": "s", "threshold": threshold}).model
        for values, threshold in (([0.1, 0.9, 0.4, 0.6], 0.5), ([0.1, 0.9, 0.4, 0.6], 0.3), ([1, 9, 4, 6], 5))
    )
    told = [" ".join(caveat.text for caveat in model.caveats) for model in (chance, shifted, points)]
    assert all("There was no model" in text for text in told)
    assert "calibration" not in told[0]
    assert "from 0.3 on" in told[1]
    assert "no probability" in told[2]
    assert ["scale" in model.lacks for model in (chance, shifted, points)] == [True, True, False]


def test_decisions_are_certain_and_say_so():
    model = subject(frame(d=["0", "1", "0", "1"]), {"decision": "d"}).model
    assert "scores" in model.lacks
    assert any("decisions without scores" in caveat.text for caveat in model.caveats)


def test_classes_are_those_of_labels_and_decisions():
    assert subject(frame(d=["0", "1", "2", "1"]), {"decision": "d"}).schema.classes == ("0", "1", "2")


@pytest.mark.parametrize("how", ["lists", "numbered columns", "named columns"])
def test_vectors_are_read_from_lists_or_columns(how):
    vectors = np.arange(12.0).reshape(4, 3)
    if how == "lists":
        rows, named = frame(s=[0.1, 0.9, 0.4, 0.6], e=list(vectors)), "e"
    else:
        rows = frame(s=[0.1, 0.9, 0.4, 0.6], e0=vectors[:, 0], e1=vectors[:, 1], e_2=vectors[:, 2], east=[1, 2, 3, 4])
        named = "e" if how == "numbered columns" else ["e0", "e1", "e_2"]
    made = subject(rows, {"score": "s", "features": named})
    assert made.model.encode(made.splits[0])[1].tolist() == vectors.tolist()
    assert "layers" not in made.model.lacks


def test_lists_of_logits_take_the_named_classes():
    made = subject(
        frame(z=[[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [4.0, 0.0]]),
        {"logits": "z"},
        COLUMNS | {"classes": ["1", "0"]},
    )
    assert made.model.logits(made.model.encode(made.splits[0]))[1].tolist() == [2.0, 0.0]


def test_the_digest_is_that_of_the_predictions():
    base = subject(frame(s=[0.1, 0.9, 0.4, 0.6]), {"score": "s"}).model.digest
    assert subject(frame(s=[0.1, 0.9, 0.4, 0.6], age=[1, 2, 3, 4]), {"score": "s"}).model.digest == base
    assert subject(frame(s=[0.1, 0.9, 0.4, 0.61]), {"score": "s"}).model.digest != base
    assert subject(frame(s=[0.1, 0.9, 0.4, 0.6]), {"score": "s", "threshold": 0.4}).model.digest != base


GOOD = {"s": [0.1, 0.9, 0.4, 0.6]}
REFUSED = {
    "a column that is not there": (GOOD, {"score": "sc"}, COLUMNS, "no column 'sc'"),
    "missing scores": ({"s": [0.1, None, 0.4, 0.6]}, {"score": "s"}, COLUMNS, "1 of 4 predictions"),
    "infinite logits": (
        {"a": [0.1, np.inf, 0.4, 0.6], "b": [0.0] * 4}, {"logits": {"0": "a", "1": "b"}}, COLUMNS, "not finite",
    ),
    "text for a score": ({"s": ["x"] * 4}, {"score": "s"}, COLUMNS, "must hold numbers"),
    "points without a threshold": ({"s": [1, 9, 4, 6]}, {"score": "s"}, COLUMNS, "predictions.threshold"),
    "a score of nobody": (GOOD, {"score": "s"}, {"label": "y"}, "columns.positive"),
    "a score of three classes": (
        {**GOOD, "y": [0, 1, 2, 0]}, {"score": "s"}, COLUMNS, "is for two classes, but there are 3",
    ),
    "probabilities that are none": (
        {"a": [0.1, 2.0, 0.4, 0.6], "b": [0.9, 0.0, 0.6, 0.4]}, {"probabilities": {"0": "a", "1": "b"}}, COLUMNS,
        "do not add up to 1",
    ),
    "an unknown decision": (
        {"d": ["0", "1", "2", "1"]}, {"decision": "d"}, COLUMNS | {"classes": ["0", "1"]}, "decides for '2'",
    ),
    "missing decisions": ({"d": ["0", "1", None, "1"]}, {"decision": "d"}, COLUMNS, "are missing"),
    "the label as its own prediction": ({}, {"decision": "y"}, COLUMNS, "cannot be both"),
    "a feature that is a prediction": (GOOD, {"score": "s"}, COLUMNS | {"features": ["s"]}, "cannot be both"),
    "no label": (GOOD, {"score": "s"}, {"positive": "1"}, "columns.label"),
    "two ways": (GOOD, {"score": "s", "decision": "s"}, COLUMNS, "exactly one of"),
    "a threshold for nothing": (GOOD, {"decision": "s", "threshold": 1}, COLUMNS, "belongs to a score"),
    "a misspelt key": (GOOD, {"scores": "s"}, COLUMNS, "did you mean 'score'"),
    "other classes": (
        {"a": [0.5] * 4, "b": [0.5] * 4}, {"logits": {"0": "a", "2": "b"}}, COLUMNS | {"classes": ["0", "1"]},
        "predictions name the classes",
    ),
    "as many lists as it likes": (
        {"z": [[0.0, 1.0], [2.0], [0.0, 3.0], [4.0, 0.0]]}, {"logits": "z"}, COLUMNS, "lists of one length",
    ),
    "too many numbers": ({"z": [[0.0, 1.0, 2.0]] * 4}, {"logits": "z"}, COLUMNS, "3 numbers are stored"),
    "no such family": (GOOD, {"score": "s", "features": "hidden"}, COLUMNS, "and none whose name is 'hidden'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(case):
    added, predictions, columns, says = REFUSED[case]
    with pytest.raises(InputError) as refused:
        subject(frame(**added), predictions, columns)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


RENTS = {"label": "rent", "sensitive": ["sex"]}


def rents(**columns):
    return pd.DataFrame({"rent": [500.0, 900.5, 700.0, 650.0], "sex": ["f", "m", "f", "m"], **columns})


def test_numbers_are_handed_out_as_they_are_and_make_the_task():
    made = subject(rents(said=[510, 890, 705, 600]), {"number": "said"}, RENTS)
    assert (made.schema.task, made.model.task, made.schema.classes) == ("regression", "regression", ("rent",))
    assert made.model.logits(made.model.encode(made.splits[0])).tolist() == [[510.0], [890.0], [705.0], [600.0]]
    assert made.splits[0].targets.tolist() == [500.0, 900.5, 700.0, 650.0]
    assert set(made.model.lacks) >= {"model", "gradients", "layers", "scores"}
    other = subject(rents(said=[510, 890, 705, 601]), {"number": "said"}, RENTS)
    assert other.model.digest != made.model.digest


@pytest.mark.parametrize(
    ("columns", "predictions", "meaning", "says"),
    [
        ({"said": [1, 2, None, 4]}, {"number": "said"}, RENTS, "1 of 4 predictions in 'said' are missing"),
        ({"said": ["1", "2", "3", "x"]}, {"number": "said"}, RENTS, "said"),
        ({"said": [1, 2, 3, 4]}, {"number": "sayd"}, RENTS, "did you mean 'said'"),
        ({}, {"number": "rent"}, RENTS, "it cannot be both"),
        ({"said": [1, 2, 3, 4]}, {"number": "said"}, {**RENTS, "task": "classification"}, "leave task out"),
        ({"said": [1, 2, 3, 4]}, {"score": "said"}, {**RENTS, "task": "regression"}, "as predictions.number"),
        ({"said": [1, 2, 3, 4]}, {"number": "said", "score": "said"}, RENTS, "exactly one of"),
        ({"said": [1, 2, 3, 4]}, {"number": "said", "threshold": 1}, RENTS, "threshold belongs to a score"),
        ({"said": [1, 2, 3, 4]}, {"number": "said"}, {**RENTS, "positive": "1"}, "predicts a number; leave it out"),
        ({"said": [1, 2, 3, 4], "rent": ["a", "b", "c", "d"]}, {"number": "said"}, RENTS, "predicts numbers"),
        ({"said": [1, 2, 3, 4], "rent": [5.0] * 4}, {"number": "said"}, RENTS, "is 5 in every row"),
    ],
)
def test_numbers_that_cannot_be_judged_are_refused_in_a_sentence(columns, predictions, meaning, says):
    with pytest.raises(InputError, match=says) as refused:
        subject(rents(**columns), predictions, meaning)
    assert "\n" not in str(refused.value)
