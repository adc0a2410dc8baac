"""Ways of training that mind the gap: as usual, with weights, or against constraints.

    none                    the estimator as it is
    reweighing              weights under which label and group are independent (see `reweighing`)
    exponentiated gradient  fairlearn's reduction (Agarwal et al. 2018, ICML): a draw between estimators, each trained
                            with other weights, such that the draw meets the constraint on the training rows

None of these needs to know a person's group when deciding, which sets them apart from thresholds by group.
fairlearn holds every group against everybody; a bound of half the allowed difference (the root of a ratio) there keeps
the gap between two groups within the limit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Floats, GroupCodes
from auditkit.fairness.groups.definitions import Gap
from auditkit.fairness.mitigation.reweighing import reweighing

Scorer = Callable[[Any], Floats]
"""Features → the positive class's score in [0, 1], or the chance of the positive decision, [n]."""
_MOMENTS = {
    ("selection_rate",): "DemographicParity",
    ("true_positive_rate",): "TruePositiveRateParity",
    ("false_positive_rate",): "FalsePositiveRateParity",
    ("true_positive_rate", "false_positive_rate"): "EqualizedOdds",
}


def trained(
    estimator: Any, features: Any, truth: npt.NDArray[np.bool_], weights: Floats | None, weight_name: str
) -> Scorer:
    """A fitted copy of a scikit-learn estimator as a function from features to scores.

    Raises InputError for an estimator that has no `predict_proba`.
    """
    from sklearn.base import clone

    if not hasattr(estimator, "predict_proba"):
        raise InputError(f"{type(estimator).__name__} has no predict_proba; give a classifier that tells probabilities")
    extra = {} if weights is None else {weight_name: weights}
    fitted = clone(estimator).fit(features, truth.astype(int), **extra)
    return lambda rows: np.asarray(fitted.predict_proba(rows)[:, 1], dtype=np.float64)


def reweighed(
    estimator: Any, features: Any, truth: npt.NDArray[np.bool_], groups: GroupCodes, weight_name: str
) -> Scorer:
    """The same, trained with reweighing's weights."""
    return trained(estimator, features, truth, reweighing(groups, truth), weight_name)


def exponentiated_gradient(
    estimator: Any,
    features: Any,
    truth: npt.NDArray[np.bool_],
    groups: GroupCodes,
    gap: Gap,
    limit: float,
    rounds: int,
    weight_name: str,
) -> Scorer:
    """fairlearn's ExponentiatedGradient as a function from features to the chance of a positive decision."""
    from fairlearn import reductions
    from sklearn.base import clone

    moment = getattr(reductions, _MOMENTS[gap.rates])
    bound = {"difference_bound": limit / 2} if gap.kind == "difference" else {"ratio_bound": float(np.sqrt(limit))}
    reduction = reductions.ExponentiatedGradient(
        clone(estimator), moment(**bound), max_iter=rounds, sample_weight_name=weight_name
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="fairlearn")  # its use of pandas, not of the data
        reduction.fit(features, truth.astype(int), sensitive_features=groups.codes)
    weights = reduction.weights_.to_dict()

    def chances(rows: Any) -> Floats:
        drawn = [weight * reduction.predictors_[at].predict(rows) for at, weight in weights.items() if weight > 0]
        return np.clip(np.sum(drawn, axis=0), 0.0, 1.0).astype(np.float64)

    return chances
