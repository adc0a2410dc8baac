"""Flips of several labels are those of each by itself, and the model is asked as often as for one."""

import numpy as np
import pyarrow as pa
import pytest

from auditkit.fairness.individual.flips import METRICS, flip_findings
from auditkit.fairness.individual.label_flips import label_flip_findings
from auditkit.fairness.settings import Settings

LABELS = ("rude", "long", "late")


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pa.table({"town": rng.choice(["a", "b", "c"], 200), "age": rng.integers(18, 80, 200)})


def chances(rows):
    town, age = np.array(rows["town"].to_pylist()), rows["age"].to_numpy() / 100
    return np.stack([np.where(town == "a", 0.9, age), age, np.where(town == "b", age + 0.2, 0.4)], axis=1)


def test_each_label_flips_as_it_does_by_itself(people):
    asked = []

    def predict(rows):
        asked.append(rows.num_rows)
        return chances(rows)

    found = label_flip_findings(people, ["town"], predict, Settings(), labels=LABELS, split="test")
    assert len(asked) == 1 + 3
    for place, label in enumerate(LABELS):
        alone = flip_findings(people, ["town"], lambda rows, at=place: chances(rows)[:, at], Settings(), split="test")
        mine = [row for row in found.metrics if row.detail == label]
        assert [(row.metric, row.group, row.value, row.lower, row.upper) for row in mine] == [
            (row.metric, row.group, row.value, row.lower, row.upper) for row in alone.metrics
        ]
        lines = [line for line in found.tables["label_flips"].to_pylist() if line["label"] == label]
        kept = ("value", "swapped_for", "n", "to_positive", "to_negative", "p_value")
        assert [[line[name] for name in kept] for line in lines] == [
            [line[name] for name in kept] for line in alone.tables["flips"].to_pylist()
        ]


def test_p_values_are_adjusted_over_all_labels(people):
    lines = label_flip_findings(people, ["town"], chances, Settings(), labels=LABELS).tables["label_flips"].to_pylist()
    smallest = min(lines, key=lambda line: line["p_value"])
    assert smallest["p_adjusted"] == pytest.approx(min(1.0, smallest["p_value"] * len(lines)))


def test_what_cannot_be_swapped_or_is_no_number_says_why(people):
    same = people.set_column(0, "town", pa.array(["a"] * 200))
    found = label_flip_findings(same, ["town"], chances, Settings(), labels=LABELS, refused={"sex": "it is no column"})
    assert {(row.attribute, row.metric) for row in found.metrics} == {(a, m) for a in ("town", "sex") for m in METRICS}
    assert {row.status for row in found.metrics} == {"not applicable"}
    broken = label_flip_findings(people, ["town"], lambda rows: chances(rows) * np.nan, Settings(), labels=LABELS)
    assert "3 finite numbers" in broken.metrics[0].reason
