"""Several labels: what the schema takes, how marks are read, and how every kind of model comes to logits of them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from torch import nn

import auditkit as ak
from auditkit.errors import InputError
from auditkit.spec import AuditSpec, SchemaSpec, parse
from auditkit.subject.blackbox.stored import stored_subject
from auditkit.subject.data import Schema, Split
from auditkit.subject.described import load_subject
from auditkit.subject.rows import load_data

LABELS = ("toxic", "insult", "threat")
FEATURES = ["a", "b"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    marks = (x @ np.array([[1.0, 0, 1], [0, 1.0, -1]]) + 0.3 * rng.normal(size=(120, 3)) > 0).astype(int)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], **dict(zip(LABELS, marks.T, strict=True))})


def linear(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, outputs))


def marks_of(values, role="test"):
    table = {"toxic": values, "insult": [0] * len(values)}
    split = load_data(pd.DataFrame(table), name=role, label=["toxic", "insult"], features=[])
    return split.marks


@pytest.mark.parametrize("values", [[1, 0], [True, False], [1.0, 0.0], ["1", "0"], ["True", "false"]])
def test_yes_and_no_are_read_however_they_are_written(values):
    assert marks_of(values).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("values", "said"),
    [([1, 2], "'toxic' holds '2'; of several labels each is 0 or 1"), (["1", "maybe"], "holds 'maybe'"),
     ([1, None], "'toxic': 1 of 2 are missing"), ([0.5, 1], "holds '0.5'")],
)  # fmt: skip
def test_other_values_are_refused_but_in_foreign_rows_unknown(values, said):
    with pytest.raises(InputError, match=said):
        marks_of(values)
    assert marks_of(values, "elsewhere")[0 if values[0] == 0.5 else 1, 0] == -1


def test_a_schema_says_what_it_cannot_be():
    assert Schema((), LABELS, task="multilabel").labels == LABELS
    for wrong, said in (
        ({"positive": "toxic"}, "positive 'toxic' is a class"),
        ({"label": "toxic"}, "'toxic' is one column"),
        ({"labels": ("a", "b")}, "3 outputs .* but 2 label columns"),
        ({"labels": ("insult", "toxic", "threat")}, "named like other outputs"),
        ({"labels": ("t", "t", "u")}, "same name: t, t, u"),
    ):
        with pytest.raises(InputError, match=said):
            Schema((), LABELS, task="multilabel", **wrong)
    with pytest.raises(InputError, match="at least two"):
        Schema((), ("toxic",), task="multilabel")
    with pytest.raises(InputError, match="a classification has one column"):
        Schema((), ("no", "yes"), "y", labels=("a", "b"))


def test_a_list_of_label_columns_in_the_file_means_several_labels():
    columns = parse({"label": ["toxic", "insult"]}, SchemaSpec, "columns")
    assert (columns.task, columns.label, columns.labels) == ("multilabel", None, ["toxic", "insult"])
    again = parse(json.loads(columns.model_dump_json()), SchemaSpec, "columns")
    assert again == columns
    for content, said in (
        ({"label": ["toxic"]}, "at least two, but there is toxic"),
        ({"label": ["toxic", "toxic"]}, "the same name"),
        ({"label": ["a", "b"], "task": "regression"}, "several columns, but task is regression"),
        ({"label": "a", "task": "multilabel"}, "label is 'a', but a multilabel task has several"),
        ({"label": ["a", "b"], "positive": "a"}, "leave positive out"),
    ):
        with pytest.raises(InputError, match=said):
            parse(content, SchemaSpec, "columns")


def test_data_from_a_frame_and_from_arrays(frame):
    split = load_data(frame, label=list(LABELS))
    assert (split.schema.task, split.schema.labels, split.schema.features) == ("multilabel", LABELS, ("a", "b"))
    assert np.array_equal(split.marks, frame[list(LABELS)])
    assert (split.labels == -1).all()
    assert split.targets is None
    pair = load_data((frame[FEATURES].to_numpy(), frame[list(LABELS)].to_numpy()), label=LABELS, features=FEATURES)
    assert np.array_equal(pair.marks, split.marks)
    with pytest.raises(InputError, match=r"3 labels per row of X: X has 120 rows, y is \(120, 2\)"):
        load_data((frame[FEATURES].to_numpy(), np.zeros((120, 2))), label=LABELS, features=FEATURES)
    with pytest.raises(InputError, match="no label column 'insulting'; did you mean 'insult'"):
        load_data(frame, label=["toxic", "insulting"])
    with pytest.raises(InputError, match="names of their columns"):
        load_data(frame, task="multilabel")


def test_foreign_rows_may_lack_labels(frame):
    split = load_data(frame.drop(columns="threat"), name="far", label=LABELS, features=FEATURES)
    assert (split.marks[:, 2] == -1).all()
    assert np.array_equal(split.marks[:, :2], frame[["toxic", "insult"]])


def test_logits_of_a_network_are_its_outputs_and_of_sigmoids_their_logits(frame):
    net = linear()
    inputs = (torch.tensor(frame[FEATURES].to_numpy(), dtype=torch.float32),)
    plain = ak.load_model(net, classes=LABELS, features=FEATURES, task="multilabel")
    ended = ak.load_model(nn.Sequential(net, nn.Sigmoid()), classes=LABELS, features=FEATURES, task="multilabel")
    assert (plain.gives, ended.gives) == ("logits", "probabilities")
    assert torch.equal(plain.logits(inputs), net(*inputs))
    assert torch.allclose(ended.logits(inputs), net(*inputs), atol=1e-4)
    assert "scale" not in ended.lacks
    assert "each is read as the probability of its label" in ended.caveats[0].text
    kept = ak.load_model(
        nn.Sequential(net, nn.Sigmoid()), classes=LABELS, features=FEATURES, task="multilabel", outputs="logits"
    )
    assert torch.equal(kept.logits(inputs), net(*inputs).sigmoid())
    with pytest.raises(InputError, match="not between 0 and 1"):
        ak.load_model(net, classes=LABELS, features=FEATURES, task="multilabel", outputs="probabilities")


def test_a_softmax_read_as_labels_is_warned_of():
    softmax = nn.Sequential(linear(), nn.Softmax(dim=1))
    model = ak.load_model(softmax, classes=LABELS, features=FEATURES, task="multilabel")
    assert any(one.level == "warning" and "add up to 1" in one.text for one in model.caveats)


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_as_many_outputs_as_labels(outputs):
    with pytest.raises(InputError, match=rf"outputs of shape \(2, {outputs}\) for 3 labels"):
        ak.load_model(linear(outputs), classes=LABELS, features=FEATURES, task="multilabel")


def test_one_output_is_not_two_labels():
    with pytest.raises(InputError, match=r"outputs of shape \(2, 1\) for 2 labels"):
        ak.load_model(linear(1), classes=LABELS[:2], features=FEATURES, task="multilabel")


def test_a_bundle_and_weights_alone_keep_the_task(tmp_path):
    net = linear()
    model = ak.load_model(net, classes=LABELS, features=FEATURES, task="multilabel")
    model.schema = Schema(("a", "b"), LABELS, task="multilabel", labels=("t", "i", "h"))
    model.architecture = {"path": "auditkit.training.architectures.mlp:MLP",
                          "arguments": {"numeric": 2, "categories": [], "classes": 3, "hidden": []}}  # fmt: skip
    from auditkit.training.architectures.mlp import MLP

    model.module = MLP(2, [], 3, hidden=[])
    model.module.load_state_dict({f"head.{name.partition('.')[2]}": part for name, part in net.state_dict().items()})
    model.penultimate = "head"
    again = ak.load_model(ak.save_bundle(model, tmp_path / "bundle"))
    assert (again.task, again.classes, again.schema.labels) == ("multilabel", LABELS, ("t", "i", "h"))
    x = (torch.randn(4, 2),)
    assert torch.equal(again.logits(x), net(*x))
    save_file(model.module.state_dict(), tmp_path / "net.safetensors")
    loaded = ak.load_model(
        tmp_path / "net.safetensors", classes=LABELS, features=FEATURES, task="multilabel",
        architecture="auditkit.training.architectures.mlp:MLP", arguments=model.architecture["arguments"],
    )  # fmt: skip
    assert torch.equal(loaded.logits(x), net(*x))


def test_programs_of_several_labels(tmp_path):
    net, x = linear().eval(), (torch.randn(4, 2),)
    torch.jit.trace(net, x).save(tmp_path / "net.ts")
    torch.export.save(torch.export.export(net, x, dynamic_shapes=({0: torch.export.Dim.AUTO},)), tmp_path / "net.pt2")
    pytest.importorskip("onnxruntime")
    torch.onnx.export(net, x, tmp_path / "net.onnx", dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "rows"}})
    for name in ("net.ts", "net.pt2", "net.onnx"):
        model = ak.load_model(tmp_path / name, classes=LABELS, features=FEATURES, task="multilabel")
        assert torch.allclose(model.logits(x), net(*x), atol=1e-6)


def test_estimators_of_several_labels(frame):
    truth = frame[list(LABELS)]
    for estimator, chances in (
        (OneVsRestClassifier(LogisticRegression()), lambda e, x: e.predict_proba(x)),
        (RandomForestClassifier(5, max_depth=2, random_state=0),
         lambda e, x: np.stack([part[:, 1] for part in e.predict_proba(x)], axis=1)),
    ):  # fmt: skip
        estimator.fit(frame[FEATURES], truth)
        model = ak.load_model(estimator, classes=LABELS, task="multilabel")
        split = load_data(frame, label=LABELS)
        found = model.logits(model.encode(split)).sigmoid().numpy()
        assert np.allclose(found, chances(estimator, frame[FEATURES].astype(np.float32).astype(float)), atol=1e-6)
        assert "scale" not in model.lacks
    with pytest.raises(InputError, match="fitted to 3 labels, but 2 are named"):
        ak.load_model(estimator, classes=LABELS[:2], task="multilabel")
    with pytest.raises(InputError, match="task='multilabel'"):
        ak.load_model(estimator, classes=LABELS)


def test_functions_of_several_labels(frame):
    def score(rows):
        return 1 / (1 + np.exp(-rows[["a", "b", "a"]].to_numpy()))

    split = load_data(frame, label=LABELS)
    model = ak.load_model(score, classes=LABELS, features=FEATURES, outputs="probabilities", task="multilabel")
    wanted = frame[["a", "b", "a"]].to_numpy()
    assert np.allclose(model.logits(model.encode(split)).numpy(), wanted, atol=1e-5)
    decided = ak.load_model(
        lambda rows: (score(rows) > 0.5).astype(int), classes=LABELS, features=FEATURES, outputs="decisions",
        task="multilabel",
    )  # fmt: skip
    assert np.array_equal(decided.logits(decided.encode(split)).numpy() > 0, wanted.astype(np.float32) > 0)
    assert "scores" in decided.lacks
    for answers, outputs, said in (
        (lambda rows: score(rows) * 3, "probabilities", "not between 0 and 1"),
        (lambda rows: score(rows), "decisions", "gives other values"),
        (lambda rows: score(rows)[:, :2], "logits", r"shape \(120, 2\) to 120 rows; for the labels toxic"),
    ):
        wrong = ak.load_model(answers, classes=LABELS, features=FEATURES, outputs=outputs, task="multilabel")
        with pytest.raises(InputError, match=said):
            wrong.logits(wrong.encode(split))


def test_stored_predictions_of_several_labels(frame):
    chances = pd.DataFrame({f"p_{name}": np.linspace(0.01, 0.99, 120) for name in LABELS})
    data = pd.concat([frame, chances], axis=1)
    columns = {"label": list(LABELS)}
    spec = AuditSpec(predictions={"probabilities": {name: f"p_{name}" for name in LABELS}}, columns=columns)
    subject = stored_subject(spec, "stored", [("test", "test", data)])
    model = subject.model
    assert (model.task, model.classes, subject.schema.labels) == ("multilabel", LABELS, LABELS)
    found = model.logits(model.encode(subject.splits[0])).sigmoid().numpy()
    assert np.allclose(found, chances, atol=1e-12)
    assert "scale" not in model.lacks
    for predictions, said in (
        ({"decision": "toxic"}, "the probability or logit of each"),
        ({"probabilities": {"toxic": "a", "insult": "b", "threat": "a"}}, "not between 0 and 1"),
        ({"probabilities": {"insult": "p_insult", "toxic": "p_toxic", "threat": "p_threat"}}, "named like other"),
    ):
        with pytest.raises(InputError, match=said):
            stored_subject(AuditSpec(predictions=predictions, columns=columns), "x", [("test", "test", data)])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"toxic": np.nan}, "'toxic': 120 of 120 are missing"), ({"insult": 3}, "'insult' holds '3'"),
     ({"toxic": 1, "insult": 0, "threat": 1}, "every row has the same labels")],
)  # fmt: skip
def test_labels_that_cannot_be_judged(frame, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        ak.audit(linear(), frame.assign(**change), label=list(LABELS), features=FEATURES, out=tmp_path)


def test_a_model_of_another_task_is_not_given_several_labels(frame, tmp_path):
    model = ak.load_model(linear(), classes=LABELS, features=FEATURES)
    with pytest.raises(InputError, match="a model of classification, not of multilabel"):
        ak.audit(model, frame, label=list(LABELS), out=tmp_path)
    several = ak.load_model(linear(), classes=LABELS, features=FEATURES, task="multilabel")
    with pytest.raises(InputError, match="one column, but the model gives 3 labels"):
        ak.audit(several, frame, label="toxic", out=tmp_path)
    with pytest.raises(InputError, match="leave positive out"):
        ak.audit(several, frame, label=list(LABELS), positive="toxic", out=tmp_path)


def test_a_file_that_names_them(frame, tmp_path):
    frame.rename(columns={"toxic": "is_toxic"}).to_csv(tmp_path / "rows.csv", index=False)
    torch.jit.trace(linear().eval(), (torch.randn(2, 2),)).save(tmp_path / "net.ts")
    spec = AuditSpec(
        model="net.ts", data={"test": "rows.csv"},
        columns={"task": "multilabel", "label": ["is_toxic", "insult", "threat"], "classes": list(LABELS),
                 "features": FEATURES},
    )  # fmt: skip
    subject = load_subject(spec, tmp_path)
    assert (subject.schema.classes, subject.schema.labels) == (LABELS, ("is_toxic", "insult", "threat"))
    assert isinstance(subject.splits[0], Split)
    assert np.array_equal(subject.splits[0].marks, frame[list(LABELS)])
