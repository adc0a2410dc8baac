"""Loading models, data and subjects: what is understood, and what is refused with which words."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import nn

from auditkit.errors import InputError
from auditkit.spec import AuditSpec
from auditkit.subject.bundle import save_bundle
from auditkit.subject.data import Schema
from auditkit.subject.described import load_subject
from auditkit.subject.load import load_model
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.rows import load_data
from auditkit.training.architectures.mlp import MLP

ROWS = {
    "age": [20.0, 30.0, 40.0, 50.0],
    "pay": [1.0, 2.0, 3.0, 4.0],
    "sex": ["f", "m", "f", "m"],
    "hired": ["no", "yes", "yes", "no"],
}


def frame(**changes):
    return pd.DataFrame({**ROWS, **changes})


def test_a_live_module_sees_its_named_numbers_as_they_are():
    network = nn.Linear(2, 2)
    model = load_model(network, classes=["no", "yes"], features=["pay", "age"], device="cpu")
    split = load_data(frame(), schema=model.schema, label="hired", sensitive=["sex"])
    expected = network(torch.tensor([[1.0, 20.0], [2.0, 30.0], [3.0, 40.0], [4.0, 50.0]]))
    assert torch.equal(model.logits(model.encode(split)), expected)
    assert split.labels.tolist() == [0, 1, 1, 0]
    assert split.schema.sensitive == ("sex",)
    assert load_model(model) is model


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"features": ["a", "b"]}, "needs the names of its classes"),
        ({"classes": ["n", "y"]}, "must be told how rows become its inputs"),
        ({"classes": ["n", "y"], "features": ["a"]}, "does not take what its preprocessing gives"),
        ({"classes": ["a", "b", "c"], "features": ["a", "b"]}, "name one class per output"),
        ({"classes": ["a"], "features": ["a", "b"]}, "at least two class names"),
        ({"classes": ["n", "y"], "features": ["a", "b"], "penultimate": "head"}, "no layer 'head'"),
        ({"classes": ["n", "y"], "features": ["a", "b"], "device": "gpu"}, "device 'gpu'"),
    ],
)
def test_a_live_module_that_cannot_be_used(arguments, said):
    with pytest.raises(InputError, match=said):
        load_model(nn.Sequential(nn.Linear(2, 2)), **{"device": "cpu"} | arguments)


def test_a_model_is_a_bundle_or_a_module():
    with pytest.raises(InputError, match="not dict"):
        load_model({})


def test_every_source_gives_the_same_split(tmp_path):
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    frame().to_csv(tmp_path / "d.csv", index=False)
    sources = [frame(), table, tmp_path / "d.parquet", str(tmp_path / "d.csv")]
    digests = {load_data(source, label="hired", sensitive=["sex"]).digest for source in sources}
    assert len(digests) == 1
    split = load_data(sources[0], label="hired", sensitive=["sex"])
    assert split.schema == Schema(("age", "pay"), ("no", "yes"), "hired", None, ("sex",))


def test_arrays_and_images():
    split = load_data((np.arange(6.0).reshape(3, 2), [1, 0, 10]))
    assert split.schema.features == ("x0", "x1")
    assert split.schema.classes == ("0", "1", "10")
    images = load_data((np.zeros((3, 1, 4, 4)), ["a", "b", "a"]), name="train")
    assert images.schema.features == ("images",)
    assert images.role == "train"
    strange = load_data((np.zeros((2, 1, 4, 4)), None), name="strange", schema=images.schema)
    assert strange.role == "ood"
    assert strange.labels.tolist() == [-1, -1]


def test_an_npz_and_a_folder_give_splits(tmp_path):
    from PIL import Image

    np.savez(tmp_path / "d.npz", images=np.zeros((2, 4, 4)), label=[0, 1])
    split = load_data(tmp_path / "d.npz", label="label")
    assert split.schema.features == ("images",)
    for name in ("a", "b"):
        (tmp_path / "f" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "f" / name / "1.png")
    assert load_data(tmp_path / "f").schema.classes == ("a", "b")


@pytest.mark.parametrize(
    ("source", "arguments", "said"),
    [
        ("nowhere.csv", {}, "there is no such file"),
        (frame(), {"label": "hird"}, "no label column 'hird'; did you mean 'hired'"),
        (frame(), {"label": "hired", "sensitive": ["sx"]}, "no sensitive column 'sx'; did you mean 'sex'"),
        (frame(), {}, "the classes are not known"),
        (frame().iloc[:0], {"label": "hired"}, "is empty: give it at least one row"),
        (frame(), {"label": "hired", "positive": "Yes"}, "positive class 'Yes' is not a class; did you mean 'yes'"),
        (frame(), {"label": "hired", "role": "tset"}, "unknown role 'tset'; did you mean 'test'"),
        ((np.zeros((2, 2)), [1]), {}, "one label per row of X: X has 2 rows"),
        ((np.zeros((2, 2)), [1, 0]), {"features": ["a"]}, "X has 2 columns, but 1 features are named"),
        ((np.zeros(2), [1, 0]), {}, "X must be a table"),
        ((frame(), [1, 0, 1, 0]), {"label": "hired"}, "already has a column 'hired'"),
        (frame(pay=[1, "a", 2.5, None]), {"label": "hired"}, "a column of mixed kinds"),
        (42, {}, "not int"),
    ],
)
def test_data_that_cannot_be_used(source, arguments, said):
    with pytest.raises(InputError, match=said):
        load_data(source, **arguments)


def test_a_file_of_an_unknown_kind(tmp_path):
    (tmp_path / "d.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"of this kind are not read; give \.parquet"):
        load_data(tmp_path / "d.xlsx")


@pytest.fixture
def folder(tmp_path):
    arguments = {"numeric": 2, "categories": [], "classes": 2, "hidden": [4]}
    schema = Schema(("age", "pay"), ("no", "yes"), "hired", "yes", ("sex",))
    model = Model(
        MLP(**arguments).eval(),
        schema.classes,
        TablePreprocessing(numeric=(Numeric(name="age", mean=35, scale=10), Numeric(name="pay", mean=2))),
        device=torch.device("cpu"),
        architecture={"path": "auditkit.training.architectures.mlp:MLP", "arguments": arguments},
        schema=schema,
    )
    save_bundle(model, tmp_path / "model")
    frame().to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


def spec(**changes):
    return AuditSpec.model_validate({"model": "model", "data": {"test": "test.csv"}, "device": "cpu"} | changes)


def test_a_subject_from_a_bundle_and_files(folder):
    frame(age=[90.0] * 4).drop(columns=["hired", "sex"]).to_parquet(folder / "old.parquet")
    data = {"train": "test.csv", "test": "test.csv", "ood": {"old": "old.parquet"}}
    subject = load_subject(spec(name="hiring", data=data), folder)
    assert [(split.name, split.role) for split in subject.in_order()] == [
        ("train", "train"),
        ("test", "test"),
        ("old", "ood"),
    ]
    assert subject.name == "hiring"
    assert subject.schema == Schema(("age", "pay"), ("no", "yes"), "hired", "yes", ("sex",))
    assert subject.split("test").labels.tolist() == [0, 1, 1, 0]


def test_the_spec_has_the_last_word_on_columns(folder):
    frame().rename(columns={"hired": "taken"}).to_csv(folder / "test.csv", index=False)
    subject = load_subject(spec(columns={"label": "taken", "positive": "no", "sensitive": ["sex", "age"]}), folder)
    assert subject.schema.label == "taken"
    assert subject.schema.positive == "no"
    assert subject.schema.sensitive == ("sex", "age")


@pytest.mark.parametrize(
    ("rows", "changes", "said"),
    [
        (frame(), {"model": None}, "no model is named; give the folder of a bundle"),
        (frame(), {"model": None, "subject": "adult"}, "run: auditkit train adult"),
        (frame(), {"subject": "adlt"}, "no built-in subject 'adlt'; did you mean 'adult'"),
        (frame(), {"data": {}}, "no test split"),
        (frame(), {"data": {"test": "tset.csv"}}, r"tset\.csv: there is no such file"),
        (frame(hired="yes"), {}, r"label 'hired' has one class only \('yes'\)"),
        (frame(hired=["no", None, "yes", "no"]), {}, "1 of 4 labels in 'hired' are missing"),
        (frame(hired=["no", "maybe", "yes", "no"]), {}, "'maybe', for which the model has no output"),
        (frame(sex="f"), {}, r"sensitive column 'sex' has one value only \('f'\)"),
        (frame().drop(columns="sex"), {}, "no sensitive column 'sex'"),
        (frame().rename(columns={"pay": "Pay"}), {}, "no column 'pay'; did you mean 'Pay'"),
        (frame(pay=["a", "b", "c", "d"]), {}, "column 'pay' must hold numbers"),
        (frame(pay=[1, 2, 3, "much"]), {}, "column 'pay' must hold numbers"),
        (frame().iloc[:0], {}, "is empty"),
        (frame(), {"columns": {"sensitive": ["sx"]}}, "did you mean 'sex'"),
        (frame(), {"columns": {"features": ["aeg"]}}, "no input 'aeg'; did you mean 'age'"),
        (frame(), {"columns": {"classes": ["yes", "no"]}}, "but the model's outputs are no, yes, in this order"),
        (frame(), {"columns": {"positive": "yse"}}, "positive class 'yse' is not a class; did you mean 'yes'"),
    ],
)
def test_a_subject_that_cannot_be_audited(folder, rows, changes, said):
    rows.to_csv(folder / "test.csv", index=False)
    with pytest.raises(InputError, match=said) as caught:
        load_subject(spec(**changes), folder)
    assert "\n" not in str(caught.value)


def test_a_positive_class_that_does_not_occur(folder):
    arguments = {"numeric": 1, "categories": [], "classes": 3, "hidden": [4]}
    model = Model(
        MLP(**arguments),
        ("low", "middle", "high"),
        TablePreprocessing(numeric=(Numeric(name="age"),)),
        device=torch.device("cpu"),
        architecture={"path": "auditkit.training.architectures.mlp:MLP", "arguments": arguments},
        schema=Schema(("age",), ("low", "middle", "high"), "risk", "high"),
    )
    save_bundle(model, folder / "model")
    frame(risk=["low", "middle", "low", "middle"]).to_csv(folder / "test.csv", index=False)
    with pytest.raises(
        InputError, match="the positive class 'high' does not occur in 'risk'; there are 'low', 'middle'"
    ):
        load_subject(spec(), folder)


def test_a_bundle_of_another_subject_is_refused(folder):
    with pytest.raises(InputError, match="tells no, yes apart, the subject's classes are <=50K, >50K"):
        load_subject(spec(subject="adult", data={}), folder)
