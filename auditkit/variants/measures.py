"""The figures that variants are compared by, and those of them that are sums over rows, taken for many resamples.

Every figure here that is no mean over rows (a worst group, a gap, the calibration error) is a function of sums over
rows: how many of a group there are, how many of them are right. So a model's rows become one matrix of columns to be
summed, and the resamples of all models are products of the same random row weights with their matrices: paired, since
the weights are shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auditkit.evidence.metrics import Better
from auditkit.performance.observer import Predictions

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Named = tuple[str, str]
"""(metric, attribute); the attribute is empty for what is over all rows, or over all attributes."""
LARGEST_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure is called, its unit, which way is good, and the unit of its change."""

    title: str
    unit: str
    better: Better

    @property
    def change_unit(self) -> str:
        """Changes of rates are counted in points."""
        return "points" if self.unit in ("rate", "points") else self.unit


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy", "rate", "higher"),
    "balanced_accuracy": Measure("balanced accuracy", "rate", "higher"),
    "worst_class_recall": Measure("worst class's recall", "rate", "higher"),
    "worst_group_accuracy": Measure("worst group's accuracy", "rate", "higher"),
    "worst_group_true_positive_rate": Measure("worst group's true positive rate", "rate", "higher"),
    "demographic_parity_difference": Measure("demographic parity gap", "points", "lower"),
    "equalized_odds_difference": Measure("equalized odds gap", "points", "lower"),
    "log_loss": Measure("log loss", "", "lower"),
    "calibration_error": Measure("calibration error", "points", "lower"),
    "ood_auroc": Measure("OOD AUROC", "", "higher"),
    "true_positive_rate": Measure("true positive rate", "rate", "higher"),
    "selection_rate": Measure("selection rate", "rate", "none"),
    "churn": Measure("decisions changed", "rate", "none"),
    "mae": Measure("mean absolute error", "", "lower"),
    "r2": Measure("R²", "", "higher"),
    "bias": Measure("mean error", "", "none"),
    "worst_group_mae": Measure("worst group's absolute error", "", "lower"),
    "mean_prediction_difference": Measure("gap of mean predictions", "", "lower"),
    "mean_error_difference": Measure("gap of mean errors", "", "lower"),
    "mean_prediction": Measure("mean prediction", "", "none"),
    "move": Measure("size of the change of predictions", "", "none"),
}


@dataclass(frozen=True)
class Rows:
    """The test rows that all models answer: labels int64 [n], members of groups, and who is large enough to judge.

    groups: (attribute, group) → bool [n]. positive: the class that a decision grants, or None. Of a model of numbers
    labels are the true ones, float64 [n], and there is one class, the name of the number.
    """

    labels: npt.NDArray[Any]
    classes: int
    groups: Mapping[tuple[str, str], Booleans]
    positive: int | None
    minimum: int
    bins: int

    @property
    def attributes(self) -> list[str]:
        """The attributes that people are grouped by."""
        return list(dict.fromkeys(attribute for attribute, _ in self.groups))

    @property
    def unjudged(self) -> list[str]:
        """The groups, and of more than two classes the classes, with too few rows to be judged."""
        groups = [
            f"{group} ({attribute})" for attribute, group in self.groups if (attribute, group) not in self.judged()
        ]
        if self.classes <= 2:
            return groups
        counts = np.bincount(self.labels, minlength=self.classes)
        return groups + [f"class {place}" for place, count in enumerate(counts) if count < self.minimum]

    def judged(self, among: Booleans | None = None) -> dict[tuple[str, str], Booleans]:
        """The groups with enough rows (among some) to be judged."""
        kept = {}
        for name, members in self.groups.items():
            mine = members if among is None else members & among
            if mine.sum() >= self.minimum:
                kept[name] = mine
        return kept


class Summed:
    """One model's rows as columns to be summed, and its figures from their sums."""

    def __init__(self, rows: Rows, found: Predictions) -> None:
        self.rows = rows
        right = (found.predicted == rows.labels).astype(np.float64)
        chosen = None if rows.positive is None else (found.predicted == rows.positive).astype(np.float64)
        self._columns: list[Floats] = []
        self._classes = [
            (self._add(of * right), self._add(of), int(of.sum()))
            for of in ((rows.labels == place).astype(np.float64) for place in range(rows.classes))
            if of.any()
        ]
        self._bins = self._calibration(found, right)
        self._shares: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}
        self._share("accuracy", rows.judged(), right)
        if chosen is not None:
            positive = rows.labels == rows.positive
            self._share("selection_rate", rows.judged(), chosen)
            self._share("true_positive_rate", rows.judged(positive), chosen)
            self._share("false_positive_rate", rows.judged(~positive), chosen)
        self.matrix = np.stack(self._columns, axis=1)

    def _add(self, column: npt.NDArray) -> int:
        self._columns.append(np.asarray(column, dtype=np.float64))
        return len(self._columns) - 1

    def _calibration(self, found: Predictions, right: Floats) -> tuple[int, int]:
        """Per bin of confidence, confidence less right answers; rows without finite outputs have none."""
        known = found.finite
        place = np.minimum((np.where(known, found.confidence, 0) * self.rows.bins).astype(np.int64), self.rows.bins - 1)
        excess = np.where(known, np.nan_to_num(found.confidence) - right, 0.0)
        first = len(self._columns)
        for one in range(self.rows.bins):
            self._add(np.where(place == one, excess, 0.0))
        return first, self._add(np.asarray(known))

    def _share(self, name: str, groups: Mapping[tuple[str, str], Booleans], of: Floats) -> None:
        self._shares[name] = {
            group: (self._add(np.where(members, of, 0.0)), self._add(members)) for group, members in groups.items()
        }

    def candidates(self, sums: Floats) -> dict[Named, Floats]:
        """Every figure from sums [..., columns] as the candidates [candidates, ...] of which it is the worst.

        A worst group is the lowest of the groups' rates, a gap the largest difference of two groups' rates; a figure of
        all rows has one candidate. What cannot be judged is left out.
        """
        recalls = np.stack([mean_of(sums, up, of) for up, of, _ in self._classes])
        first, known = self._bins
        error = np.abs(sums[..., first:known]).sum(axis=-1) / np.maximum(sums[..., known], 1.0)
        made: dict[Named, Floats] = {
            ("balanced_accuracy", ""): np.nanmean(recalls, axis=0)[None],
            ("calibration_error", ""): error[None],
        }
        enough = [at for at, (_, _, n) in enumerate(self._classes) if n >= self.rows.minimum]
        if len(enough) > 1 and self.rows.classes > 2:
            made["worst_class_recall", ""] = recalls[enough]
        for attribute in self.rows.attributes:
            made |= {(metric, attribute): values for metric, values in self._of(attribute, sums).items()}
        return over_all(made)

    def _of(self, attribute: str, sums: Floats) -> dict[str, Floats]:
        rates = {
            name: np.stack(mine)
            for name, shares in self._shares.items()
            if len(mine := [mean_of(sums, *places) for group, places in shares.items() if group[0] == attribute]) > 1
        }
        made = {f"worst_group_{name}": rates[name] for name in ("accuracy", "true_positive_rate") if name in rates}
        if "selection_rate" in rates:
            made["demographic_parity_difference"] = differences_of(rates["selection_rate"])
        if "true_positive_rate" in rates and "false_positive_rate" in rates:
            odds = [differences_of(rates[name]) for name in ("true_positive_rate", "false_positive_rate")]
            made["equalized_odds_difference"] = np.concatenate(odds)
        return made

    def worst(self) -> str:
        """The group (of those judged) that is right least often; nothing where none can be."""
        sums, shares = self.matrix.sum(axis=0), self._shares["accuracy"]
        if not shares:
            return ""
        attribute, group = min(shares, key=lambda name: float(mean_of(sums, *shares[name])))
        return f"{group} ({attribute})"


def mean_of(sums: Floats, up: int, of: int) -> Floats:
    """One sum over another, NaN where the other is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., up] / sums[..., of])


def over_all(made: dict[Named, Floats]) -> dict[Named, Floats]:
    """With every figure that is of an attribute also over all attributes: the candidates of all of them."""
    for metric in dict.fromkeys(metric for metric, attribute in made if attribute):
        every = [values for (name, attribute), values in made.items() if name == metric and attribute]
        made[metric, ""] = np.concatenate(every)
    return made


def differences_of(rates: Floats) -> Floats:
    """Of rates [groups, ...], each less each other: [groups (groups - 1), ...]."""
    first, second = np.nonzero(~np.eye(len(rates), dtype=bool))
    return np.asarray(rates[first] - rates[second])


def worst_of(metric: str, candidates: Floats) -> Floats:
    """The figure itself: the lowest of its candidates where high is good, else the highest."""
    reduce = np.nanmin if MEASURES[metric].better == "higher" else np.nanmax
    return np.asarray(reduce(candidates, axis=0))


class Sums(Protocol):
    """Rows [n] as columns to be summed, and figures from their sums: `Summed`, and of numbers `SummedNumbers`."""

    @property
    def matrix(self) -> Floats:
        """float64 [n, columns]."""

    def candidates(self, sums: Floats) -> dict[Named, Floats]:
        """Figure → candidates."""

    def worst(self) -> str:
        """The group that is worst off."""


def resampled(models: Sequence[Sums], replicates: int, rng: np.random.Generator) -> list[dict[Named, Floats]]:
    """Each model's candidates [candidates, replicates] on the same resamples of rows, drawn with replacement."""
    n = len(models[0].matrix)
    step = max(1, LARGEST_CHUNK // n)
    parts: list[list[Floats]] = [[] for _ in models]
    for start in range(0, replicates, step):
        some = min(step, replicates - start)
        drawn = rng.integers(n, size=(some, n)) + np.arange(some)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n).astype(np.float64)
        for part, model in zip(parts, models, strict=True):
            part.append(weights @ model.matrix)
    return [model.candidates(np.concatenate(part)) for part, model in zip(parts, models, strict=True)]
