"""The performance discipline over hand-made outputs."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import nn

from auditkit.engine.analysis import Context, Observation
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.evidence.metrics import select
from auditkit.performance.analysis import PerformanceAnalysis
from auditkit.performance.observer import PredictionObserver
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject


def outcome(classes, logits, labels, roles=("test",), record=None, positive=None):
    """Findings where every split of `roles` has the same outputs and labels."""
    schema = Schema(("x",), classes, "y", positive)
    table = pa.table({"x": np.arange(len(labels), dtype=float), "y": [classes[i] if i >= 0 else None for i in labels]})
    splits = tuple(Split(role, role if role in ("train", "test") else "ood", table, schema) for role in roles)
    module = nn.Linear(1, len(classes))
    preprocessing = TablePreprocessing(numeric=(Numeric(name="x"),))
    model = Model(module, classes, preprocessing, device=torch.device("cpu"), record=record or {})
    context = Context(Subject("toy", model, splits, schema), AuditSpec(), Ledger(), Progress(quiet=True))
    observers = {}
    for split in splits:
        observers[split.name] = PredictionObserver()
        tensor = torch.tensor(np.asarray(logits), dtype=torch.float32)
        observers[split.name].update(Observation(np.arange(len(labels)), np.asarray(labels), tensor))
    return PerformanceAnalysis().conclude(context, observers)


def one(findings, metric, split="test", detail=""):
    found = select(findings.metrics, metric=metric, split=split, detail=detail)
    assert len(found) == 1, f"{metric}: {found}"
    return found[0]


@pytest.fixture
def drawn():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, size=400)
    return rng.normal(size=(400, 2)) + 1.2 * np.eye(2)[labels], labels


def test_accuracy_and_auc_equal_scikit_learn(drawn):
    logits, labels = drawn
    findings = outcome(("no", "yes"), logits, labels, positive="yes")
    scores = logits[:, 1] - logits[:, 0]
    assert one(findings, "accuracy").value == accuracy_score(labels, scores > 0)
    assert one(findings, "auc").value == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_the_auc_is_that_of_the_positive_class_wherever_it_stands(drawn):
    logits, labels = drawn
    as_first = outcome(("yes", "no"), logits[:, ::-1].copy(), 1 - labels, positive="yes")
    as_second = outcome(("no", "yes"), logits, labels, positive="yes")
    assert one(as_first, "auc").value == pytest.approx(one(as_second, "auc").value, abs=1e-12)


def test_more_classes_are_the_mean_of_one_against_the_rest():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, size=300)
    logits = rng.normal(size=(300, 3)) + np.eye(3)[labels]
    findings = outcome(("a", "b", "c"), logits, labels)
    per_class = [one(findings, "class_auc", detail=name).value for name in "abc"]
    assert one(findings, "auc").value == pytest.approx(np.mean(per_class), abs=1e-12)
    odds = logits[:, 0] - np.logaddexp(logits[:, 1], logits[:, 2])
    assert per_class[0] == pytest.approx(roc_auc_score(labels == 0, odds), abs=1e-6)


def test_confidences_that_round_to_one_are_still_ranked():
    logits = np.array([[0.0, 40 + i] for i in range(60)])
    labels = np.r_[np.zeros(30, dtype=int), np.ones(30, dtype=int)]
    assert one(outcome(("no", "yes"), logits, labels), "auc").value == 1.0


def test_two_halves_merged_are_the_whole(drawn):
    logits, labels = drawn
    whole, left, right = PredictionObserver(), PredictionObserver(), PredictionObserver()
    tensor = torch.tensor(logits, dtype=torch.float32)
    whole.update(Observation(np.arange(400), labels, tensor))
    right.update(Observation(np.arange(150, 400), labels[150:], tensor[150:]))
    left.update(Observation(np.arange(150), labels[:150], tensor[:150]))
    right.merge(left)
    assert np.array_equal(right.predictions().log_probabilities, whole.predictions().log_probabilities)
    assert right.predictions().rows.tolist() == list(range(400))


def test_the_same_outputs_on_both_splits_have_no_gap(drawn):
    gap = one(outcome(("no", "yes"), *drawn, roles=("train", "test")), "generalisation_gap")
    assert gap.value == 0
    assert gap.lower < 0 < gap.upper


def test_without_a_train_split_the_gap_is_not_applicable_and_said_so(drawn):
    findings = outcome(("no", "yes"), *drawn)
    assert one(findings, "generalisation_gap").status == "not applicable"
    assert any("overfitting cannot be seen" in caveat.text for caveat in findings.caveats)


def test_outputs_that_are_not_finite_are_counted_and_in_no_figure(drawn):
    logits, labels = drawn
    logits = logits.copy()
    logits[:7, 0] = np.nan
    findings = outcome(("no", "yes"), logits, labels)
    assert one(findings, "accuracy").n == 393
    assert any("7 of 400 rows have outputs that are not finite" in caveat.text for caveat in findings.caveats)
    predictions = findings.tables["predictions"]
    assert predictions["correct"].null_count == 7
    assert predictions["confidence"].null_count == 7


def test_too_few_rows_are_named_and_not_judged(drawn):
    logits, labels = drawn
    row = one(outcome(("no", "yes"), logits[:12], labels[:12]), "accuracy")
    assert (row.status, row.value) == ("insufficient", None)
    assert "12 rows" in row.reason


def test_a_missing_class_is_named_and_auc_is_not_made_up(drawn):
    logits, _ = drawn
    findings = outcome(("no", "yes"), logits, np.ones(400, dtype=int))
    assert one(findings, "auc").status == "insufficient"
    assert one(findings, "class_recall", detail="no").status == "insufficient"
    assert any("no row of 1 classes: no" in caveat.text for caveat in findings.caveats)


def test_an_ood_split_without_labels_is_kept_but_not_judged(drawn):
    logits, labels = drawn
    findings = outcome(("no", "yes"), logits, np.full(len(labels), -1), roles=("far",))
    assert not select(findings.metrics, split="far")
    assert findings.tables["predictions"]["correct"].null_count == 400


def test_the_training_curves_come_along(drawn):
    point = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.7, "validation_loss": 0.6, "validation_accuracy": 0.6}
    record = {"curves": [point, {**point, "epoch": 2}], "best_epoch": 2}
    curves = outcome(("no", "yes"), *drawn, record=record).tables["curves"]
    assert curves["best"].to_pylist() == [False, True]


def test_the_roc_curve_holds_its_area(drawn):
    findings = outcome(("no", "yes"), *drawn, positive="yes")
    points = findings.tables["roc"].to_pandas()
    area = np.trapezoid(points["true_positive_rate"], points["false_positive_rate"])
    assert area == pytest.approx(one(findings, "auc").value, abs=0.005)
