"""The Python way in: a live module, data at hand, an audit that can be asked."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import auditkit as ak


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 600
    columns = {"age": rng.normal(size=n), "hours": rng.normal(size=n), "sex": rng.choice(["f", "m"], n)}
    table = pd.DataFrame(columns)
    table["income"] = np.where(table.age + table.hours + rng.normal(scale=0.3, size=n) > 0, "high", "low")
    return table


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(4, 1)
        net[2].weight[:] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(1, 4)
    return ak.load_model(net, classes=["high", "low"], features=["age", "hours"], device="cpu")


FEW = {"attribution": {"rows": 16}, "energy": {"seconds": 0.02, "blocks": 3}}


@pytest.fixture(scope="module")
def audit(model, frame, tmp_path_factory):
    return ak.audit(
        model,
        {"train": frame[:300], "test": frame[300:]},
        label="income",
        positive="high",
        sensitive=["sex"],
        gates={"performance/accuracy": {"at_least": 0.5}},
        out=tmp_path_factory.mktemp("out"),
        **FEW,
    )


def test_the_audit_answers(audit, model, frame):
    assert audit.verdict == "pass"
    with torch.no_grad():
        inputs = torch.tensor(frame[300:][["age", "hours"]].to_numpy(), dtype=torch.float32)
        predicted = np.array(["high", "low"])[model.module(inputs).argmax(1).numpy()]
    rows = audit.metrics
    accuracy = rows[(rows.analysis == "performance") & (rows.metric == "accuracy") & (rows.split == "test")]
    assert accuracy.value.item() == pytest.approx((predicted == frame[300:].income).mean(), abs=1e-12)
    table = audit.tables["fairness/rates"].to_pandas()
    assert len(table)
    assert audit.figures["performance/overview"].data


def test_an_unknown_table_names_the_nearest(audit):
    with pytest.raises(KeyError, match="did you mean 'fairness/rates'"):
        audit.tables["fairness/rate"]


def test_a_notebook_shows_the_verdict_first_and_escapes_names(audit):
    shown = audit._repr_html_()
    assert shown.index("pass") < shown.index("performance/accuracy")
    assert "<script" not in shown


def test_it_opens_again_from_its_folder(audit):
    again = ak.open_audit(audit.folder)
    assert again.info["result_digest"] == audit.info["result_digest"]
    assert again.metrics.equals(audit.metrics)


def test_the_same_inputs_elsewhere_give_the_same_results(audit, model, frame, tmp_path):
    gates = {"performance/accuracy": {"at_least": 0.5}}
    meaning = {"label": "income", "positive": "high", "sensitive": ["sex"], "gates": gates}
    again = ak.audit(model, {"train": frame[:300], "test": frame[300:]}, out=tmp_path, **meaning, **FEW)
    assert again.folder != audit.folder
    assert again.info["audit_id"] == audit.info["audit_id"]
    assert again.info["result_digest"] == audit.info["result_digest"]


def test_features_that_are_not_finite_are_counted_and_said(model, frame, tmp_path):
    broken = frame[300:].copy()
    broken.iloc[:7, 0] = np.nan
    broken.iloc[7:10, 1] = np.inf
    found = ak.audit(model, {"test": broken}, label="income", positive="high", out=tmp_path, analyses=["performance"])
    said = [caveat.text for caveat in found.caveats]
    assert any("age: missing (NaN or null)" in text and "7 of 300 rows" in text for text in said)
    assert any("hours: infinite" in text and "3 of 300 rows" in text for text in said)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": "incme"}, "did you mean 'income'"),
        ({"positive": "highest"}, "positive class 'highest'"),
        ({"sensitive": ["six"]}, "'six'"),
        ({"gates": {"performance/accuracy": {"atleast": 1}}}, "did you mean 'at_least'"),
        ({"fairnes": {}}, "did you mean 'fairness'"),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(model, frame, tmp_path, change, says):
    arguments = {"label": "income", "positive": "high", "sensitive": ["sex"], "out": tmp_path} | change
    with pytest.raises(ak.InputError) as problem:
        ak.audit(model, {"test": frame}, **arguments)
    assert says in str(problem.value)
    assert not list(tmp_path.iterdir())


def test_public_names_are_those_documented():
    assert sorted(ak.__all__) == sorted(set(ak.__all__))
    assert all(callable(getattr(ak, name)) for name in ak.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ak.nothing


def test_an_audit_finds_where_the_model_errs_most(model, tmp_path):
    rng = np.random.default_rng(1)
    n = 4000
    table = pd.DataFrame({"age": rng.normal(size=n), "hours": rng.normal(size=n), "sex": rng.choice(["f", "m"], n)})
    right = np.where(table.age + table.hours > 0, "high", "low")
    spoiled = (table.sex == "f") & (table.hours > 1) & (rng.random(n) < 0.6)
    table["income"] = np.where(spoiled, np.where(right == "high", "low", "high"), right)
    meaning = {"label": "income", "positive": "high", "sensitive": ["sex"]}
    found = ak.audit(model, {"test": table}, out=tmp_path, analyses=["fairness"], **meaning)
    worst = found.tables["fairness/slices"].to_pylist()[0]
    assert worst["confirmed"]
    assert set(worst["columns"]) == {"sex", "hours"}
    assert worst["loss_lower"] > 0.4
    assert "fairness/slices" in found.figures
