"""Mitigations side by side: what each does to accuracy, to the gap and to whom, on rows that none of them has seen.

Rows are split by chance into three: on the first the estimator is trained, on the second thresholds are fitted (on rows
it was trained on, scores are too good), on the third everything is judged. All are held against the estimator as it is,
with one threshold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column, as_columns
from auditkit.fairness.counting.counts import Floats, GroupCodes, encode_groups
from auditkit.fairness.groups.definitions import Gap
from auditkit.fairness.mitigation.changes import change_of_accuracy, who_changes
from auditkit.fairness.mitigation.frontier import Fitting
from auditkit.fairness.mitigation.held_out import Outcome, outcome
from auditkit.fairness.mitigation.policy import paired
from auditkit.fairness.mitigation.randomised import optimise_thresholds
from auditkit.fairness.mitigation.retraining import exponentiated_gradient, reweighed, trained
from auditkit.fairness.mitigation.targets import allowed, target
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings

NONE, REWEIGHING, GRADIENT = "none", "reweighing", "exponentiated gradient"
DETERMINISTIC, RANDOMISED = "thresholds by group, deterministic", "thresholds by group, randomised"
METHODS = (NONE, REWEIGHING, GRADIENT, DETERMINISTIC, RANDOMISED)
TRAIN, THRESHOLDS = 0.5, 0.2
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Mitigation:
    """One method's outcome on the held-out rows. seconds: what fitting it took, beyond what it builds on."""

    method: str
    randomised: bool
    knows_group: bool
    seconds: float
    outcome: Outcome


@dataclass(frozen=True)
class Comparison:
    """The methods' outcomes, in the order of METHODS."""

    metric: str
    limit: float
    settings: Settings
    mitigations: tuple[Mitigation, ...]

    def table(self) -> pa.Table:
        """One record per method: accuracy, gap and change of accuracy with intervals, people moved, seconds."""
        return pa.Table.from_pylist([self._record(one) for one in self.mitigations])

    def who(self) -> pa.Table:
        """One record per method and group: who gains and who loses, against the estimator as it is."""
        return pa.Table.from_pylist(
            [
                {"method": one.method, **record}
                for one in self.mitigations
                for record in who_changes(one.outcome.moved, self.settings.confidence)
            ]
        )

    def _record(self, one: Mitigation) -> dict[str, object]:
        gap, accuracy = one.outcome.gaps[self.metric], one.outcome.accuracy
        change = change_of_accuracy(one.outcome.moved, self.settings.confidence)
        people = one.outcome.moved.cells.sum(axis=(0, 1))
        return {
            "method": one.method,
            "policy": "randomised" if one.randomised else "deterministic",
            "knows_group": one.knows_group,
            "accuracy": accuracy.value,
            "accuracy_lower": accuracy.lower,
            "accuracy_upper": accuracy.upper,
            "gap": gap.value,
            "gap_lower": gap.lower,
            "gap_upper": gap.upper,
            "gap_reason": gap.reason,
            "unjudged": list(gap.unjudged),
            "accuracy_change": change[0],
            "accuracy_change_lower": change[1],
            "accuracy_change_upper": change[2],
            "gained": int(people[0, 1]),
            "lost": int(people[1, 0]),
            "n": accuracy.n,
            "seconds": one.seconds,
        }


def compare_mitigations(
    features: Any,
    labels: npt.ArrayLike,
    groups: Any,
    *,
    estimator: Any = None,
    metric: str = "demographic_parity_difference",
    limit: float = 0.05,
    threshold: float = 0.5,
    rounds: int = 50,
    weight_name: str = "sample_weight",
    settings: Settings | None = None,
    seed: int = 0,
) -> Comparison:
    """Train, mitigate and judge, each on rows of its own.

    features: [n, columns], an array or a data frame that the estimator takes. labels: bool or 0/1 [n]. groups: one
    column or several, as for `check_fairness`. estimator: a scikit-learn classifier with `predict_proba` whose `fit`
    takes weights under `weight_name`; logistic regression when left out. metric: a gap, or fairlearn's name of a
    constraint; limit: what is allowed of it. rounds: of the exponentiated gradient, at most.
    Raises InputError for labels that are not 0 and 1, for groups that cannot be compared, and for a group that has
    one label only among the rows that are trained on.
    """
    gap, settings = target(metric), settings or Settings()
    limit = allowed(gap, limit)
    if estimator is None:
        from sklearn.linear_model import LogisticRegression

        estimator = LogisticRegression(max_iter=1000)
    truth = np.asarray(labels)
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels must be 0 and 1, or false and true; say which class is positive by making it so")
    truth = truth.astype(bool)
    columns = {name: as_column(column, name) for name, column in as_columns(groups).items()}
    every = encode_groups(columns, "the table")
    if not len(truth) == len(every.codes) == _rows(features):
        raise InputError(
            f"{_rows(features):,} rows of features, {len(truth):,} labels and {len(every.codes):,} rows of groups; "
            "give one of each for every row"
        )
    train, validation, held_out = (_Part.of(features, truth, every, rows) for rows in _split(len(truth), seed))
    methods = _Methods(train, validation, held_out, estimator, gap, limit, threshold, rounds, weight_name, settings)
    return Comparison(gap.name, limit, settings, tuple(methods.all()))


@dataclass(frozen=True)
class _Part:
    features: Any
    truth: Booleans
    groups: GroupCodes

    @classmethod
    def of(cls, features: Any, truth: Booleans, groups: GroupCodes, rows: npt.NDArray[np.int64]) -> _Part:
        taken = features.iloc[rows] if hasattr(features, "iloc") else np.asarray(features)[rows]
        return cls(taken, truth[rows], replace(groups, codes=groups.codes[rows]))


@dataclass(frozen=True)
class _Methods:
    train: _Part
    validation: _Part
    held_out: _Part
    estimator: Any
    gap: Gap
    limit: float
    threshold: float
    rounds: int
    weight_name: str
    settings: Settings

    def all(self) -> list[Mitigation]:
        train = self.train
        scorer, plain = _timed(lambda: trained(self.estimator, train.features, train.truth, None, self.weight_name))
        scores = scorer(self.held_out.features)
        fitted_on = scorer(self.validation.features)
        today = scores >= self.threshold
        found = [self._judged(NONE, plain, today, today)]
        scorer, seconds = _timed(
            lambda: reweighed(self.estimator, train.features, train.truth, train.groups, self.weight_name)
        )
        found.append(self._judged(REWEIGHING, seconds, today, scorer(self.held_out.features) >= self.threshold))
        scorer, seconds = _timed(
            lambda: exponentiated_gradient(self.estimator, train.features, train.truth, train.groups, self.gap,
                                           self.limit, self.rounds, self.weight_name)
        )  # fmt: skip
        found.append(self._judged(GRADIENT, seconds, today, scorer(self.held_out.features)))
        for method, fit in ((DETERMINISTIC, self._deterministic), (RANDOMISED, self._randomised)):
            policy, seconds = _timed(lambda fit=fit: fit(fitted_on))  # type: ignore[misc]
            found.append(self._judged(method, seconds, today, policy.chances(self.held_out.groups, scores), True))
        return found

    def _deterministic(self, scores: Floats) -> Any:
        counts = ScoreCounts.tally(self.validation.groups, self.validation.truth, scores)
        fitting = Fitting(counts, self.gap.name, self.threshold, self.settings.minimum_group)
        return fitting.best([self.limit])[0].policy

    def _randomised(self, scores: Floats) -> Any:
        part, minimum = self.validation, self.settings.minimum_group
        return optimise_thresholds(
            scores, part.truth, part.groups, self.gap.name, limit=self.limit, threshold=self.threshold,
            minimum_group=minimum,
        ).policy  # fmt: skip

    def _judged(
        self, method: str, seconds: float, today: Booleans, chances: npt.NDArray, knows_group: bool = False
    ) -> Mitigation:
        part = self.held_out
        flat, size = part.groups.codes * 2 + part.truth, 2 * len(part.groups.groups)
        parts = [
            (
                np.bincount(flat[today == before], minlength=size).reshape(-1, 2),
                np.bincount(flat[today == before], chances[today == before], minlength=size).reshape(-1, 2),
            )
            for before in (False, True)
        ]
        moved = paired(part.groups.attributes, part.groups.groups, parts)
        drawn = bool(((chances > 0) & (chances < 1)).any())
        return Mitigation(
            method, drawn, knows_group, seconds, outcome(moved, [self.gap.name], self.settings, "held out")
        )


def _rows(features: Any) -> int:
    return int(features.shape[0]) if hasattr(features, "shape") else len(features)


def _split(rows: int, seed: int) -> list[npt.NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(rows)
    return [np.sort(part) for part in np.split(order, [int(TRAIN * rows), int((TRAIN + THRESHOLDS) * rows)])]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start
