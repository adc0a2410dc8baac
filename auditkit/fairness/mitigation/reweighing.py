"""Reweighing: weights for training under which label and group are independent (Kamiran and Calders 2012).

    w(g, y) = n(g) n(y) / (n n(g, y))

so that the weighted rows of group g with label y are as many as they would be, were the two independent, while groups
and labels keep their sizes. Source: Knowledge and Information Systems 33, 1-33, section 5.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Floats, GroupCodes, joined
from auditkit.statistics.reweighing import independence_weights


def reweighing(groups: GroupCodes, truth: npt.ArrayLike) -> Floats:
    """The weight of every row, float64 [n], with mean 1. truth: bool [n].

    Raises InputError where a group lacks one of the labels: no weight could make up for rows that are not there.

    >>> codes = GroupCodes(("sex",), (("f",), ("m",)), np.array([0, 0, 0, 1, 1, 1]), {})
    >>> reweighing(codes, [True, False, False, True, True, False]).tolist()
    [1.5, 0.75, 0.75, 0.75, 0.75, 1.5]
    """
    label = np.asarray(truth, dtype=bool)
    cells = np.bincount(groups.codes * 2 + label, minlength=2 * len(groups.groups)).reshape(-1, 2)
    if not cells.all():
        at, which = (int(place[0]) for place in np.nonzero(cells == 0))
        raise InputError(
            f"group {joined(groups.groups[at])!r} has no rows with a {'positive' if which else 'negative'} label, so "
            "no weights make label and group independent; leave the group out or join it with another"
        )
    weights: Floats = independence_weights(cells)[groups.codes, label.astype(np.int64)]
    return weights
