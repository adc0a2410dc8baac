"""Reweighing: every training row counts as if label and group were independent (Kamiran and Calders 2012).

A row of group g with label y has the weight n(g) n(y) / (n n(g, y)); see `auditkit.statistics.reweighing`. The rows
that training is stopped by keep weight 1: they stand for the people on whom the model will decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.statistics.reweighing import independence_weights
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import AnyPreprocessing
from auditkit.training.batches import Encoded
from auditkit.training.mitigation.groups import Groups
from auditkit.training.mitigation.options import Reweighing
from auditkit.training.mitigation.usual import Usual


def row_weights(groups: Groups) -> npt.NDArray[np.float64]:
    """The weight of every row, float64 [n], with mean 1. Raises InputError where a group lacks a label."""
    groups.need_every_label("no weights make label and group independent")
    return independence_weights(groups.cells)[groups.codes, groups.labels]


class Reweighed(Usual):
    """The usual training on weighted rows."""

    def __init__(self, options: Reweighing, groups: Groups) -> None:
        self.options, self.groups, self.weights = options, groups, row_weights(groups)

    def encode(self, split: Split, preprocessing: AnyPreprocessing) -> Encoded:
        """The training rows with their weights."""
        return Encoded(split, preprocessing, self.weights)

    def record(self) -> dict[str, Any]:
        """The smallest and the largest weight beside the settings."""
        return {
            **self.options.model_dump(mode="json"),
            "groups": list(self.groups.names),
            "weights": [float(self.weights.min()), float(self.weights.max())],
        }
