"""A scikit-learn scorer for fairness, so that a search over models can look at it beside accuracy.

    scoring = {"accuracy": "accuracy", "fair": fairness_scorer("sex")}
    search = GridSearchCV(model, grid, scoring=scoring, refit="accuracy")

The score is higher for fairer models: a ratio as it is, a difference negated. Where any group cannot be judged (too few
rows, no row of the label that a rate is over) the score is NaN, which scikit-learn reports: a comparison of the other
groups would make a model look fair for a group that nobody looked at. Bands of small groups belong together, or a
smaller `minimum_group` has to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from auditkit.errors import InputError, nearest
from auditkit.fairness.check import check_fairness
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.groups.definitions import GAPS

MOST_CROSSED = 3


def fairness_scorer(
    sensitive: str | Sequence[str],
    metric: str = "demographic_parity_ratio",
    positive: Any = None,
    minimum_group: int = 30,
) -> Callable[[Any, Any, Any], float]:
    """A scorer `(estimator, X, y) -> float` over columns of X that name groups.

    metric: any gap by name. Raises InputError for a gap that does not exist.

    >>> fairness_scorer("sex", "demographic_parity_rato")
    Traceback (most recent call last):
    ...
    auditkit.errors.InputError: there is no gap 'demographic_parity_rato'; did you mean 'demographic_parity_ratio'? ...
    """
    if metric not in GAPS:
        raise InputError(f"there is no gap {metric!r}; {nearest(metric, GAPS)}")
    columns = [sensitive] if isinstance(sensitive, str) else list(sensitive)
    if len(columns) > MOST_CROSSED:
        raise InputError(
            f"{len(columns)} attributes cannot be crossed, only {MOST_CROSSED}; make a scorer for fewer of them"
        )

    def score(estimator: Any, X: Any, y: Any) -> float:
        groups = {name: X[name] for name in columns}
        check = check_fairness(
            y,
            estimator.predict(X),
            sensitive_features=groups,
            positive=positive,
            policy={metric: {"at_least": 0}},
            minimum_group=minimum_group,
            replicates=200,
        )
        row = next(row for row in check.metrics if row.metric == metric and row.attribute == joined(columns))
        if row.value is None or row.unjudged:
            return float("nan")
        return row.value if GAPS[metric].kind == "ratio" else -row.value

    return score
