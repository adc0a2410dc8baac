"""The figures that variants of a model of numbers are compared by, as sums over rows (see `measures.py`).

    mae    mean |p - y|        r2    1 - Σ (p - y)² / Σ (y - ȳ)²

by group the mean absolute error, whose highest is the worst group's; and the gaps between any two groups of mean
predictions and of mean errors. y are the same for all models, so that ȳ moves with the resample alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.performance.regression.observer import Numbers
from auditkit.variants.measures import Floats, Named, Rows, differences_of, mean_of, over_all

Booleans = npt.NDArray[np.bool_]


def rows_with_numbers(models: Sequence[Numbers], minimum: int) -> Booleans:
    """The rows [n] with a true number for which every model gives a finite one. Raises InputError for hardly any."""
    kept = np.isfinite(models[0].truth)
    for found in models:
        kept &= np.isfinite(found.predicted)
    if kept.sum() < max(2, minimum):
        raise InputError(
            f"only {int(kept.sum())} of {len(kept)} test rows have a finite prediction of every model, fewer than the "
            f"{minimum} needed to compare them"
        )
    return kept


class SummedNumbers:
    """One model's rows as columns to be summed, and its figures from their sums."""

    def __init__(self, rows: Rows, found: Numbers) -> None:
        self.rows = rows
        centred = found.truth - found.truth.mean()
        self._columns: list[Floats] = [np.ones(len(found)), found.errors**2, centred, centred**2]
        parts = {"mae": np.abs(found.errors), "mean_prediction": found.predicted, "mean_error": found.errors}
        self._means = {
            name: {group: self._add(members, values) for group, members in rows.judged().items()}
            for name, values in parts.items()
        }
        self.matrix = np.stack(self._columns, axis=1)

    def _add(self, members: Booleans, values: Floats) -> tuple[int, int]:
        """The places of the sum over members, and of how many they are."""
        self._columns += [np.where(members, values, 0.0), members.astype(np.float64)]
        return len(self._columns) - 2, len(self._columns) - 1

    def candidates(self, sums: Floats) -> dict[Named, Floats]:
        """Every figure from sums [..., columns] as the candidates [candidates, ...] of which it is the worst."""
        rows, squares, centred, spread = (sums[..., place] for place in range(4))
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = 1 - squares / (spread - centred**2 / rows)
        made: dict[Named, Floats] = {("r2", ""): np.asarray(explained)[None]}
        for attribute in self.rows.attributes:
            means = {
                name: np.stack(mine)
                for name, places in self._means.items()
                if len(mine := [mean_of(sums, *at) for group, at in places.items() if group[0] == attribute]) > 1
            }
            if means:
                made["worst_group_mae", attribute] = means["mae"]
                made["mean_prediction_difference", attribute] = differences_of(means["mean_prediction"])
                made["mean_error_difference", attribute] = differences_of(means["mean_error"])
        return over_all(made)

    def worst(self) -> str:
        """The group (of those judged) for which predictions are furthest off; nothing where none can be."""
        sums, places = self.matrix.sum(axis=0), self._means["mae"]
        if not places:
            return ""
        attribute, group = max(places, key=lambda name: float(mean_of(sums, *places[name])))
        return f"{group} ({attribute})"
