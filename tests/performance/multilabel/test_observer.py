"""Answers are the same however the rows came, and only whole rows are judged."""

import numpy as np
import torch

from auditkit.engine.analysis import Observation
from auditkit.performance.multilabel.observer import LabelObserver


def seen(rows, marks, logits):
    logits = torch.tensor(logits[rows], dtype=torch.float32)
    return Observation(rows=np.array(rows), labels=np.full(len(rows), -1), logits=logits, marks=marks[rows])


def test_halves_in_any_order_are_the_whole():
    rng = np.random.default_rng(0)
    marks, logits = rng.integers(0, 2, size=(20, 3)).astype(np.int8), rng.normal(size=(20, 3))
    whole, first, second = LabelObserver(), LabelObserver(), LabelObserver()
    whole.update(seen(list(range(20)), marks, logits))
    second.update(seen([19, 3, 7], marks, logits))
    second.update(seen(list(range(10, 19)), marks, logits))
    first.update(seen([row for row in range(10) if row not in (3, 7)], marks, logits))
    first.merge(second)
    a, b = whole.answers(), first.answers()
    for name in ("rows", "marks", "logits"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def test_a_logit_of_zero_is_a_yes_and_rows_that_are_not_whole_are_left_out():
    marks = np.array([[1, 0], [1, -1], [0, 1], [0, 0]], dtype=np.int8)
    logits = np.array([[0.0, -0.1], [1, 1], [np.nan, 1], [-1, 5]])
    observer = LabelObserver()
    observer.update(seen([0, 1, 2, 3], marks, logits))
    found = observer.answers()
    assert found.broken == 1
    known = found.known()
    assert known.rows.tolist() == [0, 3]
    assert known.given.tolist() == [[True, False], [False, True]]
