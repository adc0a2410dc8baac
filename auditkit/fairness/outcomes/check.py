"""Check other predictions than decisions for fairness: classes, sets of labels, numbers, rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Findings
from auditkit.fairness.counting.columns import as_column, as_columns, as_numbers
from auditkit.fairness.counting.counts import GroupCodes, encode_groups
from auditkit.fairness.groups.draws import checked_weights
from auditkit.fairness.parts import check_lengths
from auditkit.fairness.result import Check, MetricRows, info_of, tables_of
from auditkit.fairness.settings import Options, Settings, settings_of
from auditkit.gates import judge
from auditkit.spec import parse_gates

Task: TypeAlias = Literal["multiclass", "multilabel", "regression", "ranking"]


@dataclass(frozen=True)
class Outcomes:
    """Labels and predictions as they came. weights, query: columns [n] or None; top: the k of shares of the first k."""

    truth: Any
    predicted: Any
    weights: pa.Array | None = None
    query: Any = None
    top: tuple[int, ...] = (10, 100)
    where: str = "predictions"
    label_name: str = "y_true"
    prediction_name: str = "y_pred"


def check_outcomes(
    y_true: Any,
    y_pred: Any,
    *,
    task: Task,
    sensitive_features: Any,
    sample_weight: Any = None,
    query: Any = None,
    top: Sequence[int] = (10, 100),
    policy: Mapping[str, Any] | None = None,
    minimum_group: int = 30,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Check:
    """Numbers by group, gaps between groups, all with intervals, and a verdict against a policy.

    task and what is given:

    * `multiclass`: one class for each row, y_true and y_pred [n]. Every class's rates, macro averages.
    * `multilabel`: 0 or 1 for each of several labels, [n, labels] or data frames. Every label's rates, the whole set's.
    * `regression`: numbers [n]. Errors, bias, R2, mean prediction and distances between groups' predictions.
    * `ranking`: y_pred are scores [n], the highest first; y_true relevance [n], 0 and up, or None. query: what each row
      was ranked for, [n], or None for one ranking. top: the k of the shares of the first k places. Exposure, shares of
      the top, NDCG, pairwise accuracy.

    sensitive_features: one column or several. sample_weight: sampling weights [n], of numbers only. policy: metric →
    condition; without one there is nothing to pass, and the verdict is `missing`. Other arguments as `check_fairness`.

    Raises InputError, in one sentence that says what, where and what to do, for input that cannot be judged.

    >>> sex, label = ["f", "m"] * 200, [float(at % 50) for at in range(400)]
    >>> guess = [value + (at % 2) * 4 + at % 3 for at, value in enumerate(label)]
    >>> check = check_outcomes(label, guess, task="regression", sensitive_features={"sex": sex},
    ...                        policy={"mean_error_difference": {"at_most": 1}})
    >>> check.verdict
    'fail'
    """
    options = Options(
        policy=policy, minimum_group=minimum_group, replicates=replicates, confidence=confidence, seed=seed
    )
    weights = None if sample_weight is None else as_column(sample_weight, "sample_weight")
    outcomes = Outcomes(y_true, y_pred, weights, query, tuple(top))
    return check_of(task, outcomes, as_columns(sensitive_features), options)


def check_of(task: str, outcomes: Outcomes, sensitive: Mapping[str, pa.Array], options: Options) -> Check:
    """`check_outcomes` for columns that were read from somewhere."""
    if task not in _TASKS:
        raise InputError(f"{outcomes.where}: there is no task {task!r}; {nearest(task, _TASKS)}")
    if not sensitive:
        raise InputError(f"{outcomes.where}: no sensitive attribute was given; name at least one")
    if outcomes.weights is not None and task != "regression":
        raise InputError(f"{outcomes.where}: weights have no meaning for the task {task!r} here; leave them out")
    if outcomes.query is not None and task != "ranking":
        raise InputError(f"{outcomes.where}: a query has no meaning for the task {task!r}; leave it out")
    settings = settings_of(options)
    groups = encode_groups(sensitive, outcomes.where)
    found = _TASKS[task](outcomes, groups, settings)
    policy = parse_gates(dict(options.get("policy") or {}), options.get("policy_name", "policy"))
    return Check(
        metrics=MetricRows(found.metrics),
        caveats=found.caveats,
        results=judge(found.metrics, policy),
        policy=policy,
        settings=settings,
        size=len(groups.codes),
        where=outcomes.where,
        added=tables_of([found]),
        info=info_of(outcomes.where, outcomes.label_name, groups.attributes) | {"task": task},
    )


def _numbers(outcomes: Outcomes, groups: GroupCodes, values: Any, name: str) -> Any:
    column = as_column(values, name)
    check_lengths({name: column}, len(groups.codes), outcomes.where, "the sensitive columns")
    return as_numbers(column, name, outcomes.where)


def _regression(outcomes: Outcomes, groups: GroupCodes, settings: Settings) -> Findings:
    from auditkit.fairness.outcomes.regression import regression_findings

    truth = _numbers(outcomes, groups, outcomes.truth, outcomes.label_name)
    predicted = _numbers(outcomes, groups, outcomes.predicted, outcomes.prediction_name)
    weights = checked_weights(outcomes.weights, outcomes.where)
    return regression_findings(groups, truth, predicted, settings, weights)


def _ranking(outcomes: Outcomes, groups: GroupCodes, settings: Settings) -> Findings:
    from auditkit.fairness.outcomes.rankings import ranking_findings

    scores = _numbers(outcomes, groups, outcomes.predicted, outcomes.prediction_name)
    relevance = None
    if outcomes.truth is not None:
        relevance = _numbers(outcomes, groups, outcomes.truth, outcomes.label_name)
    return ranking_findings(groups, scores, relevance, outcomes.query, outcomes.top, settings)


def _multiclass(outcomes: Outcomes, groups: GroupCodes, settings: Settings) -> Findings:
    from auditkit.fairness.outcomes.multiclass import multiclass_findings

    truth, decision = as_column(outcomes.truth, outcomes.label_name), as_column(outcomes.predicted, "y_pred")
    lengths = {outcomes.label_name: truth, outcomes.prediction_name: decision}
    check_lengths(lengths, len(groups.codes), outcomes.where, "the sensitive columns")
    return multiclass_findings(groups, truth, decision, settings)


def _multilabel(outcomes: Outcomes, groups: GroupCodes, settings: Settings) -> Findings:
    from auditkit.fairness.outcomes.multilabel import multilabel_findings

    return multilabel_findings(groups, outcomes.truth, outcomes.predicted, settings, outcomes.where)


_TASKS: dict[str, Callable[[Outcomes, GroupCodes, Settings], Findings]] = {
    "multiclass": _multiclass,
    "multilabel": _multilabel,
    "regression": _regression,
    "ranking": _ranking,
}
