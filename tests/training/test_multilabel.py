"""Training of several labels: the rule is learned, by the loss that is said; settings of classes are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from typer.testing import CliRunner

import auditkit as ak
from auditkit.cli import app
from auditkit.errors import InputError
from auditkit.subject.rows import load_data
from auditkit.training.recipe import Recipe
from auditkit.training.train import train

LABELS = ["toxic", "insult"]
RECIPE = {"name": "labels", "epochs": 40, "batch_size": 64, "learning_rate": 0.05, "weight_decay": 0.0, "threads": 1,
          "arguments": {"hidden": []}}  # fmt: skip


def frame(n=800, seed=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    marks = x @ np.array([[2.0, 0.5], [-1.0, 1.5]]) + rng.logistic(size=(n, 2)) > 0
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], **dict(zip(LABELS, marks.T.astype(int), strict=True))})


def parts(data=None):
    data = frame() if data is None else data
    fitting = load_data(data.iloc[:600], name="train", label=LABELS)
    return {"train": fitting, "validation": load_data(data.iloc[600:], name="validation", schema=fitting.schema)}


def trained(data=None, **changes):
    splits = parts(data)
    return train(Recipe(**{**RECIPE, **changes}), splits, splits["train"].schema, device="cpu"), splits


def test_a_linear_network_learns_what_logistic_regressions_do():
    model, _ = trained()
    assert (model.task, model.classes, model.schema.labels) == ("multilabel", tuple(LABELS), tuple(LABELS))
    test = frame(500, 9)
    ours = model.logits(model.encode(load_data(test, schema=model.schema))).detach().numpy()
    for place, name in enumerate(LABELS):
        data = frame().iloc[:600]
        theirs = LogisticRegression(C=1e6).fit(data[["a", "b"]], data[name])
        assert np.abs(ours[:, place] - theirs.decision_function(test[["a", "b"]])).max() < 0.25


def test_the_curves_are_the_mean_cross_entropy_and_the_share_of_right_answers():
    model, splits = trained()
    best = next(point for point in model.record["curves"] if point["epoch"] == model.record["best_epoch"])
    logits = model.logits(model.encode(splits["validation"])).detach().double()
    marks = splits["validation"].marks
    losses = [log_loss(marks[:, at], logits[:, at].sigmoid().numpy()) for at in range(2)]
    assert best["validation_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert best["validation_accuracy"] == pytest.approx(((logits.numpy() >= 0) == marks).mean(), rel=1e-5)


def test_the_same_recipe_gives_the_same_weights():
    one, two = (trained(epochs=3)[0] for _ in range(2))
    assert one.digest == two.digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"loss": "mse"}, "loss 'mse' is not for several labels"), ({"label_smoothing": 0.1}, "label_smoothing is for"),
     ({"class_weights": "balanced"}, "class_weights is for classes"),
     ({"arguments": {"hidden": [], "classes": 3}}, "must give 2 logits"),
     ({"search": {"learning_rate": {"low": 0.1, "high": 0.2}}, "objective": "balanced_accuracy"}, "is for classes")],
)  # fmt: skip
def test_what_is_not_for_several_labels(changes, said):
    with pytest.raises(InputError, match=said):
        trained(**changes)


def test_a_label_that_never_varies_is_not_learned():
    with pytest.raises(InputError, match="'insult' is the same in every training row"):
        trained(frame().assign(insult=0))


def test_from_a_recipe_to_a_verdict_by_the_command_line(tmp_path):
    data = frame(900)
    data["sex"] = np.where(np.arange(900) % 2, "f", "m")
    data.to_csv(tmp_path / "rows.csv", index=False)
    columns = {"label": LABELS, "sensitive": ["sex"]}
    recipe = {**RECIPE, "epochs": 5, "data": {"rows": "rows.csv"}, "columns": columns}
    audit = {
        "model": "model", "data": {"rows": "rows.csv"}, "analyses": ["performance", "fairness"],
        "gates": {"performance/hamming_loss": {"at_most": 0.4}}, "fairness": {"replicates": 500},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(audit))
    run = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "model")])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "reports")])
    assert run.exit_code == 0, run.output
    found = ak.Audit(next((tmp_path / "reports").glob("*/*")))
    assert found.info["schema"]["labels"] == LABELS
    assert found.info["schema"]["sensitive"] == ["sex"]
    assert found.table("performance/curves").num_rows == 5
    assert torch.isfinite(torch.tensor([row.value for row in found.rows if row.status == "ok"])).all()
