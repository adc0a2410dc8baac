"""Black boxes: answers as logits, class order, columns handed over unchanged, identity, refusals."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import SVC
from torch import nn

import auditkit as ak
from auditkit.errors import InputError
from auditkit.subject.blackbox import black_box
from auditkit.subject.blackbox.answers import as_logits
from auditkit.subject.blackbox.raw_table import read_table_kinds

FEATURES = ["town", "age", "hours", "member", "grade"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    n = 300
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "hours": rng.normal(40, 8, n),
            "town": rng.choice(["Aachen", "Bonn", "Celle"], n),
            "member": rng.random(n) < 0.5,
            "grade": pd.Categorical(rng.choice(["low", "high"], n)),
        }
    )
    table.loc[::17, "hours"] = np.nan
    table.loc[::23, "town"] = None
    score = (table.age - 50) / 10 + (table.town == "Bonn") + table.member + rng.normal(size=n)
    return table.assign(y=np.where(score > 0, "yes", "no"))


def split_of(frame, name="test"):
    return ak.load_data(frame, name=name, label="y", features=FEATURES, classes=["no", "yes"])


@pytest.fixture(scope="module")
def pipeline(frame):
    words = ColumnTransformer(
        [("words", OneHotEncoder(sparse_output=False), ["town", "member", "grade"])], remainder="passthrough"
    )
    return make_pipeline(words, HistGradientBoostingClassifier(max_iter=15)).fit(frame[FEATURES], frame.y)


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.lists(
            st.lists(st.floats(0, 1), min_size=classes, max_size=classes).filter(lambda row: sum(row) > 0.01),
            min_size=1,
            max_size=6,
        )
    )
)
def test_softmax_gives_probabilities_back(rows):
    probabilities = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    names = [str(place) for place in range(probabilities.shape[1])]
    logits = torch.from_numpy(as_logits(probabilities, len(probabilities), "probabilities", names, "it"))
    assert torch.isfinite(logits).all()
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), probabilities, atol=1e-12, rtol=0)


def test_a_pipeline_sees_the_very_rows_of_the_data(frame, pipeline):
    split = split_of(frame)
    model = black_box(pipeline, splits=[split])
    with torch.no_grad():
        answers = model.logits(model.encode(split)).softmax(dim=1).numpy()
    np.testing.assert_allclose(answers, pipeline.predict_proba(frame[FEATURES]), atol=1e-12, rtol=0)


def test_columns_come_back_with_their_types_order_and_missing_values(frame):
    split = split_of(frame)
    table = read_table_kinds([split], FEATURES, ["grade"])
    numbers, codes = table.encode(split)
    back = table.frame(numbers.numpy(), codes.numpy())
    pd.testing.assert_frame_equal(
        back, frame[FEATURES], check_dtype=False, check_categorical=False, check_column_type=False
    )
    assert numbers.dtype == torch.float64
    kinds = {"age": "i", "hours": "f", "member": "b"}
    assert {name: back[name].dtype.kind for name in kinds} == kinds
    assert isinstance(back["grade"].dtype, pd.CategoricalDtype)


def test_an_estimator_fitted_on_pandas_categories_gets_them(frame):
    columns = ["grade", "age"]
    fitted = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5).fit(frame[columns], frame.y)
    split = split_of(frame)
    model = black_box(fitted, categories=["grade"], splits=[split])
    answers = model.logits(model.encode(split)).softmax(dim=1).numpy()
    np.testing.assert_allclose(answers, fitted.predict_proba(frame[columns]), atol=1e-12, rtol=0)
    with pytest.raises(InputError, match="'grad' is no feature; did you mean 'grade'"):
        black_box(fitted, categories=["grad"])


def test_numbers_keep_their_last_digit():
    """A threshold between two float64 neighbours decides; float32 would not tell them apart."""
    low, high = 0.1, np.nextafter(0.1, 1)
    model = black_box(
        lambda rows: (rows["a"] >= high).astype(float), classes=["no", "yes"], features=["a"], outputs="probabilities"
    )
    split = ak.load_data(pd.DataFrame({"a": [low, high], "y": ["no", "yes"]}), label="y", features=["a"])
    assert model.logits(model.encode(split)).argmax(dim=1).tolist() == [0, 1]


def test_a_word_that_was_in_no_split_is_refused(frame, pipeline):
    model = black_box(pipeline, splits=[split_of(frame)])
    with pytest.raises(InputError, match=r"'town' holds 'Dresden', which is in no split"):
        model.encode(split_of(frame.assign(town="Dresden")))


def test_a_column_that_changes_its_kind_is_refused(frame):
    with pytest.raises(InputError, match=r"'age' does not hold the same in every split: whole number in 'train', text"):
        read_table_kinds([split_of(frame, "train"), split_of(frame.assign(age="old"))], FEATURES)


def test_a_date_is_refused(frame):
    with pytest.raises(InputError, match=r"'age' is of type timestamp.* make it a number or text"):
        read_table_kinds([split_of(frame.assign(age=pd.Timestamp("2020-01-01")))], FEATURES)


def test_class_order_is_the_estimators(frame):
    X = frame[["age"]].to_numpy()
    fitted = LogisticRegression().fit(X, (frame.y == "yes").astype(int))
    assert black_box(fitted, features=["age"]).classes == ("0", "1")
    assert black_box(fitted, features=["age"], classes=["0", "1"]).classes == ("0", "1")
    with pytest.raises(InputError, match=r"has the classes 0, 1, in this order, but 1, 0 were named"):
        black_box(fitted, features=["age"], classes=["1", "0"])


def test_margins_are_told_as_margins(frame):
    fitted = RidgeClassifier().fit(frame[["age"]], frame.y)
    model = black_box(fitted)
    logits = model.logits((torch.tensor([[20.0], [70.0]], dtype=torch.float64),))
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], fitted.decision_function(pd.DataFrame({"age": [20, 70]})))
    assert [caveat.about for caveat in model.caveats] == ["model"]
    assert "margins (decision_function), not probabilities" in model.caveats[0].text


def test_pairwise_margins_are_not_taken_for_margins_of_classes():
    X, y = np.arange(12.0)[:, None], np.repeat(["a", "b", "c"], 4)
    model = black_box(SVC(decision_function_shape="ovo").fit(X, y), features=["x"])
    assert model.architecture["outputs"] == "decisions"
    assert model.logits((torch.tensor([[0.0], [11.0]]),)).argmax(dim=1).tolist() == [0, 2]
    assert "scores" in model.lacks


@pytest.mark.parametrize(
    ("answers", "outputs", "words"),
    [
        ([[2.0, -1.0]], "probabilities", "do not add up to 1|not between 0 and 1"),
        ([[0.2, 0.2]], "probabilities", "do not add up to 1"),
        ([[0.2, 0.3, 0.5]], "probabilities", r"shape \(1, 3\)"),
        ([0.1, 0.2], "logits", r"shape \(2,\) to 1 rows"),
        (["high"], "logits", "are no numbers"),
        (["perhaps"], "decisions", "decided perhaps"),
    ],
)
def test_answers_that_are_not_what_was_said_are_refused(answers, outputs, words):
    with pytest.raises(InputError, match=words):
        as_logits(answers, 1, outputs, ("no", "yes"), "it")


def test_a_row_without_an_answer_stays_without_one():
    logits = as_logits([[np.nan, np.nan], [0.5, 0.5]], 2, "probabilities", ("no", "yes"), "it")
    assert np.isnan(logits[0]).all()
    assert np.isfinite(logits[1]).all()


def test_what_is_no_black_box_is_refused(frame):
    with pytest.raises(InputError, match="no single set of classes_"):
        black_box(LogisticRegression(), features=["age"])
    with pytest.raises(InputError, match="predicts numbers, so it is no classification"):
        black_box(LinearRegression().fit([[1.0]], [1.0]), features=["age"], task="classification")
    with pytest.raises(InputError, match="outputs='probabilities'"):
        black_box(len, classes=["no", "yes"], features=["age"])
    with pytest.raises(InputError, match="give it to load_model"):
        black_box(nn.Linear(1, 2), classes=["no", "yes"], features=["age"], outputs="logits")
    with pytest.raises(InputError, match="was fitted on age; features differ in age, hours"):
        black_box(LogisticRegression().fit(frame[["age"]], frame.y), features=["hours"])
    with pytest.raises(InputError, match="was fitted on 1 columns, but 2 features are named"):
        black_box(LogisticRegression().fit(frame[["age"]].to_numpy(), frame.y), features=["age", "hours"])


def test_a_black_box_that_fails_says_how_it_was_asked():
    def broken(rows):
        raise KeyError("income")

    model = black_box(broken, classes=["no", "yes"], features=["age"], outputs="logits")
    with pytest.raises(
        InputError, match=r"broken failed on 1 rows, given as a data frame with the columns age: KeyErr"
    ):
        model.logits((torch.zeros((1, 1)),))


def test_the_digest_follows_what_was_learned(frame):
    X = frame[["age"]]
    first, again = (black_box(LogisticRegression().fit(X, frame.y)).digest for _ in range(2))
    other = black_box(LogisticRegression(C=0.01).fit(X, frame.y)).digest
    assert first == again != other


def test_an_estimator_that_cannot_be_written_says_what_its_digest_leaves_out(frame):
    fitted = make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression()).fit(frame[["age"]], frame.y)
    assert "not what it learned" in black_box(fitted).caveats[0].text


def test_a_callable_is_identified_by_its_code_and_says_that_weights_are_not():
    def one(rows, weight=1.0):
        return rows["a"] * weight

    def two(rows, weight=1.0):
        return rows["a"] * weight * 2

    settings = {"classes": ["no", "yes"], "features": ["a"], "outputs": "logits"}
    models = [black_box(source, **settings) for source in (one, two, functools.partial(one, weight=3.0))]
    assert models[0].digest != models[1].digest
    assert models[0].digest == models[2].digest
    assert "weights it holds or calls cannot be identified" in models[0].caveats[0].text


def test_changed_weights_behind_the_same_code_are_told_apart_by_their_answers(frame):
    split, weights = split_of(frame), {"age": 1.0}
    settings = {"classes": ["no", "yes"], "features": ["age"], "outputs": "logits", "splits": [split]}

    def weighted(rows):
        return rows["age"] * weights["age"]

    first, again = (black_box(weighted, **settings).digest for _ in range(2))
    weights["age"] = 1.01
    assert first == again != black_box(weighted, **settings).digest


def test_a_black_box_is_no_bundle(tmp_path, frame):
    with pytest.raises(InputError):
        ak.save_bundle(black_box(LogisticRegression().fit(frame[["age"]], frame.y)), tmp_path / "model")
