"""Figures of several labels against scikit-learn's, and what does not exist is no number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from auditkit.evidence.metrics import select
from auditkit.performance.multilabel.f1 import averages, label_f1
from auditkit.performance.multilabel.observer import Answers
from auditkit.performance.multilabel.ranking import coverage, ranking_precision
from auditkit.performance.multilabel.scores import OF_ALL, OF_EACH, generalisation_gap, score_rows
from auditkit.performance.multilabel.tables import counts_table, curves_table, predictions_table
from auditkit.performance.scores import Settings
from auditkit.statistics.intervals import wilson

NAMES = ("toxic", "insult", "threat", "spam")
QUICK = Settings(400, 0.95, 15, (0, 1))


def answers(n=300, width=4, seed=0, digits=None) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.random((n, width)) < np.linspace(0.1, 0.6, width)
    logits = rng.normal(size=(n, width)) * 1.5 + 2 * truth - 1
    logits = logits if digits is None else logits.round(digits)
    return Answers(np.arange(n), truth.astype(np.int8), logits)


def rows(found: Answers, names=NAMES, how=QUICK):
    return list(score_rows("test", found, names, how))


def one(found, metric, detail=""):
    (row,) = select(found, metric=metric, detail=detail)
    return row


@pytest.mark.parametrize("digits", [None, 0])
def test_every_figure_is_scikit_learns(digits):
    """Rounded scores have many ties."""
    found = answers(digits=digits)
    truth, given_, chance = found.truth, found.given, found.probabilities
    made = rows(found)
    wanted = {
        "subset_accuracy": metrics.accuracy_score(truth, given_),
        "hamming_loss": metrics.hamming_loss(truth, given_),
        "micro_f1": metrics.f1_score(truth, given_, average="micro"),
        "macro_f1": metrics.f1_score(truth, given_, average="macro"),
        "mean_average_precision": metrics.average_precision_score(truth, found.logits, average="macro"),
        "label_ranking_average_precision": metrics.label_ranking_average_precision_score(truth, found.logits),
        "coverage_error": metrics.coverage_error(truth, found.logits),
    }
    for metric, value in wanted.items():
        assert one(made, metric).value == pytest.approx(value, abs=1e-12)
    of_each = {
        "label_precision": metrics.precision_score(truth, given_, average=None),
        "label_recall": metrics.recall_score(truth, given_, average=None),
        "label_f1": metrics.f1_score(truth, given_, average=None),
        "label_auc": metrics.roc_auc_score(truth, found.logits, average=None),
        "label_average_precision": metrics.average_precision_score(truth, found.logits, average=None),
        "label_brier": [metrics.brier_score_loss(truth[:, at], chance[:, at]) for at in range(4)],
    }
    for metric, values in of_each.items():
        for name, value in zip(NAMES, values, strict=True):
            assert one(made, metric, name).value == pytest.approx(value, abs=1e-12)
    assert {row.metric for row in made} == {*OF_ALL, *OF_EACH}
    assert all(row.lower <= row.value <= row.upper and row.lower < row.upper for row in made)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_rankings_are_scikit_learns_for_any_labels_and_ties(n, width, seed):
    rng = np.random.default_rng(seed)
    truth, scores = rng.random((n, width)) < 0.4, rng.integers(0, 4, size=(n, width)).astype(float)
    assert ranking_precision(truth, scores).mean() == pytest.approx(
        metrics.label_ranking_average_precision_score(truth, scores), abs=1e-12
    )
    assert coverage(truth, scores).mean() == pytest.approx(metrics.coverage_error(truth, scores), abs=1e-12)


def test_what_does_not_exist_says_why():
    found = answers(60)
    marks, logits = found.marks.copy(), found.logits.copy()
    marks[:, 0], logits[:, 0] = 0, -1.0  # nobody has it, nobody is given it
    marks[:, 1] = 1  # everybody has it
    marks[:, 2] = 0  # nobody has it, some are given it
    made = rows(Answers(found.rows, marks, logits))
    reasons = {(row.metric, row.detail): row.reason for row in made if row.status != "ok"}
    assert reasons == {
        ("label_precision", "toxic"): "no row is given this label",
        ("label_recall", "toxic"): "no row has this label",
        ("label_f1", "toxic"): "no row has this label or is given it",
        ("label_auc", "toxic"): "no row has this label",
        ("label_average_precision", "toxic"): "no row has this label",
        ("label_auc", "insult"): "every row has this label",
        ("label_recall", "threat"): "no row has this label",
        ("label_auc", "threat"): "no row has this label",
        ("label_average_precision", "threat"): "no row has this label",
    }
    assert one(made, "label_f1", "threat").value == 0
    truth, given_ = marks[:, 1:] == 1, logits[:, 1:] >= 0
    macro = one(made, "macro_f1")
    assert macro.value == pytest.approx(metrics.f1_score(truth, given_, average="macro"))
    assert "over the 3 of 4 labels" in macro.method
    assert "over the 2 of 4 labels" in one(made, "mean_average_precision").method


def test_without_any_label_at_all():
    nothing = Answers(np.arange(40), np.zeros((40, 2), dtype=np.int8), np.full((40, 2), -3.0))
    made = rows(nothing, ("a", "b"))
    assert one(made, "subset_accuracy").value == 1
    assert one(made, "hamming_loss").value == 0
    for metric in ("micro_f1", "macro_f1", "mean_average_precision"):
        assert one(made, metric).status == "insufficient"


def test_a_perfect_model_is_not_certain():
    found = answers(80)
    perfect = Answers(found.rows, found.marks, np.where(found.truth, 3.0, -3.0))
    for row in rows(perfect):
        if row.better == "higher":
            assert (row.value, row.upper) == (1, 1)
            assert row.lower < 1
        elif row.metric == "hamming_loss":
            assert (row.value, row.lower) == (0, 0)
            assert row.upper == pytest.approx(float(wilson(0, 80)[1]))


def test_limits_of_f1_are_those_of_jaccards_index():
    low, high = (float(edge) for edge in wilson(6, 10))
    found = label_f1(6, 10, 0.95)
    assert found == pytest.approx((12 / 16, 2 * low / (1 + low), 2 * high / (1 + high)))


def test_averages_have_the_spread_of_resampled_rows():
    found = answers(400, seed=3)
    rng = np.random.default_rng(5)
    micro, macro, draws = averages(found.truth, found.given, 2000, 0.95, rng)
    plain = []
    for _ in range(600):
        rows_ = rng.integers(400, size=400)
        plain.append([metrics.f1_score(found.truth[rows_], found.given[rows_], average=a) for a in ("micro", "macro")])
    edges = np.quantile(plain, [0.025, 0.975], axis=0)
    assert draws == 2000
    assert [micro.lower, macro.lower] == pytest.approx(edges[0].tolist(), abs=0.008)
    assert [micro.upper, macro.upper] == pytest.approx(edges[1].tolist(), abs=0.008)


def test_the_interval_of_f1_covers():
    """Labels that hang together: the second is the first, most of the time."""
    rng = np.random.default_rng(1)

    def draw(n):
        first = rng.random(n) < 0.3
        truth = np.stack([first, np.where(rng.random(n) < 0.8, first, rng.random(n) < 0.3)], axis=1)
        return truth, np.where(rng.random((n, 1)) < 0.75, truth, rng.random((n, 2)) < 0.3)

    true = metrics.f1_score(*draw(200_000), average="micro")
    covered = 0
    for _ in range(200):
        micro, _, _ = averages(*draw(150), 300, 0.95, rng)
        covered += micro.lower <= true <= micro.upper
    assert 0.90 <= covered / 200 <= 0.99


def test_the_gap_is_one_of_subset_accuracy():
    train, test = answers(200, seed=1), answers(100, seed=2)
    gap = generalisation_gap(train, test, 0.95)
    both = [metrics.accuracy_score(side.truth, side.given) for side in (train, test)]
    assert gap.value == pytest.approx(both[0] - both[1])
    assert gap.lower < gap.value < gap.upper


def test_the_tables_hold_every_row_and_label():
    found = answers(50)
    marks, logits = found.marks.copy(), found.logits.copy()
    marks[0, 1], logits[1, 2] = -1, np.nan
    table = predictions_table({"test": Answers(found.rows, marks, logits)}, NAMES).to_pylist()
    assert (table[0]["label"], table[0]["correct"], table[0]["wrong"]) == (None, None, None)
    assert (table[1]["prediction"], table[1]["confidence"], table[1]["probabilities"]) == (None, None, None)
    for line in table[2:]:
        row = line["row"]
        said = [name for name, there in zip(NAMES, found.given[row], strict=True) if there]
        assert line["prediction"] == (", ".join(said) or "none")
        assert line["wrong"] == int((found.given[row] != found.truth[row]).sum())
        assert line["correct"] == (line["wrong"] == 0)
        sure = np.maximum(found.probabilities[row], 1 - found.probabilities[row]).prod()
        assert line["confidence"] == pytest.approx(sure)
    counts = {line["label"]: line for line in counts_table({"test": found}, NAMES).to_pylist()}
    for at, name in enumerate(NAMES):
        tn, fp, fn, tp = metrics.confusion_matrix(found.truth[:, at], found.given[:, at]).ravel().tolist()
        assert [counts[name][cell] for cell in ("tn", "fp", "fn", "tp")] == [tn, fp, fn, tp]
    curve = [line for line in curves_table({"test": found}, NAMES).to_pylist() if line["label"] == "spam"]
    precision, recall, _ = metrics.precision_recall_curve(found.truth[:, 3], found.logits[:, 3])
    theirs = set(zip(recall.round(9).tolist(), precision.round(9).tolist(), strict=True))
    assert {(round(line["recall"], 9), round(line["precision"], 9)) for line in curve} <= theirs
    assert curve[-1]["recall"] == 1
