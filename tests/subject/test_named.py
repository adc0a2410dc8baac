"""Functions and estimators named in audit.yaml by their import path."""

import sys

import pandas as pd
import pytest

from auditkit.errors import InputError
from auditkit.spec import AuditSpec, parse
from auditkit.subject.blackbox.named import import_model, is_import_path
from auditkit.subject.described import load_subject

CODE = """
import numpy as np
from sklearn.linear_model import LogisticRegression

WEIGHT = 3

def chance(rows):
    return 1 / (1 + np.exp(-(rows["age"] - 40) / 5 - (rows["town"] == "Bonn")))

class Rules:
    pass

fitted = LogisticRegression().fit([[30.0], [50.0]], ["no", "yes"])
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lender_rules.py").write_text(CODE)
    rows = pd.DataFrame({"age": [30, 35, 45, 60], "town": ["Bonn", "Celle", "Bonn", "Celle"]})
    rows.assign(y=["no", "no", "yes", "yes"], sex=["f", "m", "f", "m"]).to_csv(tmp_path / "rows.csv", index=False)
    yield tmp_path
    sys.modules.pop("lender_rules", None)


def described(model, **more):
    content = {"model": model, "data": {"test": "rows.csv"}, "columns": {"label": "y", "positive": "yes"} | more.pop(
        "columns", {}
    )}  # fmt: skip
    return parse(content | more, AuditSpec, "audit.yaml")


def test_a_function_beside_the_file_is_asked_for_its_rows(folder):
    columns = {"classes": ["no", "yes"], "features": ["age", "town"]}
    subject = load_subject(described("lender_rules:chance", columns=columns, outputs="probabilities"), folder)
    found = subject.model.logits(subject.model.encode(subject.splits[0])).softmax(dim=1)[:, 1]
    age, bonn = pd.Series([30, 35, 45, 60]), pd.Series([1, 0, 1, 0])
    from scipy.special import expit

    assert found.numpy() == pytest.approx(expit((age - 40) / 5 + bonn).to_numpy())
    assert subject.schema.classes == ("no", "yes")
    assert str(folder) not in sys.path


def test_an_estimator_brings_its_classes(folder):
    spec = described("lender_rules:fitted", columns={"features": ["age"]})
    subject = load_subject(spec, folder)
    found = subject.model.logits(subject.model.encode(subject.splits[0]))
    assert found.argmax(dim=1).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("lender_rulez:chance", "cannot import 'lender_rulez'"),
        ("lender_rules:chanse", "did you mean 'chance'"),
        ("lender_rules:Rules", "names a class"),
        ("lender_rules:WEIGHT", "names int"),
    ],
)
def test_what_is_no_model_is_refused(folder, path, says):
    with pytest.raises(InputError, match=says):
        import_model(path, folder)


def test_a_function_must_say_what_it_gives(folder):
    with pytest.raises(InputError, match="say what the callable gives"):
        load_subject(
            described("lender_rules:chance", columns={"classes": ["no", "yes"], "features": ["age", "town"]}), folder
        )


def test_addresses_and_files_are_no_import_paths():
    names = ["hf:gpt2", "models:/credit/3", "models/adult", "net.pt2", "a:b:c", "C:\\net.pt", "pkg.mod:name"]
    assert [name for name in names if is_import_path(name)] == ["pkg.mod:name"]
