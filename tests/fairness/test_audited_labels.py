"""What the pass hands to the fairness of several labels: decisions from 0 on, whole rows, the same in halves."""

import numpy as np
import pyarrow as pa
import torch

from auditkit.engine.analysis import Observation
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.outcomes.audited_labels import LabelObserver

MARKS = np.array([[1, 0], [0, -1], [1, 1], [0, 0]], dtype=np.int8)
LOGITS = torch.tensor([[0.0, -1.0], [2.0, 2.0], [torch.nan, 1.0], [-0.1, 3.0]])
GROUPS = encode_groups({"sex": pa.array(["f", "m", "f", "m"])}, "split 'test'")


def observed(*batches):
    observer = LabelObserver(GROUPS, 2)
    for rows in batches:
        observer.update(Observation(np.array(rows), np.full(len(rows), -1), LOGITS[rows], marks=MARKS[rows]))
    return observer


def test_a_logit_of_zero_is_a_yes_and_only_whole_rows_are_known():
    observer = observed([0, 1, 2, 3])
    assert observer.decided.tolist() == [[1, 0], [1, 1], [-1, 1], [0, 1]]
    assert observer.known().tolist() == [0, 3]


def test_halves_in_any_order_are_the_whole():
    whole, first, second = observed([0, 1, 2, 3]), observed([3, 0]), observed([2], [1])
    first.merge(second)
    assert np.array_equal(first.truth, whole.truth)
    assert np.array_equal(first.decided, whole.decided)
