"""Check predictions for fairness: a table of predictions and a policy in, a verdict out. No model, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings
from auditkit.fairness.counting.columns import as_column, as_columns, as_numbers
from auditkit.fairness.counting.counts import Counts, Floats, GroupCodes, encode_column, encode_groups
from auditkit.fairness.counting.decisions import Decisions, decide
from auditkit.fairness.counting.table import Predictions
from auditkit.fairness.groups.conclude import conclude
from auditkit.fairness.groups.definitions import FOUR_FIFTHS
from auditkit.fairness.groups.draws import checked_weights, design_of
from auditkit.fairness.groups.ranking import Drawn, auc_rows, single_groups
from auditkit.fairness.parts import Rows, check_lengths, counts_parts, parts_of, scores_parts
from auditkit.fairness.result import FairnessCheck, Policy, make_check
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Options, Settings, class_name, settings_of
from auditkit.fairness.standards import standards_tables
from auditkit.spec import Gate, parse_gates

if TYPE_CHECKING:
    from auditkit.fairness.release import ReleaseCheck


def check_fairness(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    scores: Any = None,
    sample_weight: Any = None,
    strata: Any = None,
    clusters: Any = None,
    control_features: Any = None,
    features: Any = None,
    previous: Any = None,
    positive: Any = None,
    reference: Mapping[str, Any] | None = None,
    population: Mapping[str, Mapping[str, float]] | None = None,
    ll144: tuple[str, str] | None = None,
    policy: Mapping[str, Any] | None = None,
    minimum_group: int = 30,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> FairnessCheck:
    """Rates by group, gaps between groups, all with intervals, and a verdict against a policy.

    y_true, y_pred: class labels [n] of any kind (list, numpy, pandas, polars, Arrow, tensor). sensitive_features: one
    column or several (mapping, data frame, two-dimensional array).
    scores: numbers [n], or None; larger is more positive. Ranking within groups is added, and of probabilities
    calibration and what other thresholds would do.
    sample_weight: how many people each row stands for, numbers [n], or None. strata, clusters: what each row was drawn
    from or together with (a site, a patient with several visits), [n], or None; intervals then keep that design.
    control_features: columns that may rightly explain a gap; gaps among people alike in them are added.
    features: a table of what the model saw, or None; missing values by group, worst slices, an error tree and
    consistency are added.
    previous: the last release's decisions on the same rows, or None; with them, changes are tested group by group.
    positive: the class a decision gives or flags a person with; may be left out where plain (0 and 1, no and yes).
    reference: attribute → group that all others are also held against, or None.
    population: attribute → group → its share of the population, or None; representation is added.
    ll144: the attributes that are sex and race, for the tables of New York City's Local Law 144; None for none.
    policy: metric → condition, as under `gates:` in audit.yaml; when left out, four-fifths of every attribute.
    minimum_group: a rate over fewer rows is not judged.

    Raises InputError, in one sentence that says what, where and what to do, for input that cannot be judged. Of other
    predictions than decisions for or against a class: `check_outcomes`.

    >>> sex = ["f", "m"] * 100
    >>> check = check_fairness([0, 0, 1, 1] * 50, [0, 1, 1, 1] * 50, sensitive_features={"sex": sex})
    >>> check.verdict, check.results[0].value
    ('fail', 0.5)
    """
    options = Options(
        reference=reference, population=population, ll144=ll144, policy=policy, minimum_group=minimum_group,
        replicates=replicates, confidence=confidence, seed=seed,
    )  # fmt: skip
    predictions = Predictions(
        as_column(y_true, "y_true"),
        as_column(y_pred, "y_pred"),
        as_columns(sensitive_features),
        _column(scores, "scores"),
        None if positive is None else class_name(positive),
        previous=_column(previous, "y_previous"),
        weights=_column(sample_weight, "sample_weight"),
        strata=_column(strata, "strata"),
        clusters=_column(clusters, "clusters"),
        control={} if control_features is None else as_columns(control_features, "control_features"),
        features={} if features is None else as_columns(features, "features"),
    )
    return check_predictions(predictions, **options)


def _column(values: Any, name: str) -> pa.Array | None:
    return None if values is None else as_column(values, name)


def check_predictions(predictions: Predictions, **options: Unpack[Options]) -> FairnessCheck:
    """`check_fairness` for predictions as `read_predictions` returns them."""
    settings, where = settings_of(options), predictions.where
    decisions = decide(
        predictions.labels,
        predictions.decisions,
        predictions.positive,
        threshold=predictions.threshold,
        each=predictions.rows,
        where=where,
        label_name=predictions.label_name,
        prediction_name=predictions.prediction_name,
    )
    check_lengths(predictions.others, len(decisions.truth), where, predictions.label_name)
    if not predictions.sensitive:
        raise InputError(f"{where}: no sensitive attribute was given; name at least one")
    groups = encode_groups(predictions.sensitive, where)
    weights = checked_weights(predictions.weights, where)
    counts = Counts.tally(groups, decisions.truth, decisions.decision, each=predictions.rows, weights=weights)
    design = design_of(
        counts, groups, decisions.truth, decisions.decision, weights, predictions.strata, predictions.clusters, where
    )
    plain = weights is None and design is None
    policy = policy_of(counts.attributes, options)
    scored = _scored(predictions, groups, decisions, counts, weights, plain, settings, policy)
    release = _release(predictions, groups, decisions, settings)
    population = options.get("population") or {}
    rows = Rows(
        groups, decisions.truth, decisions.decision, predictions.sensitive, predictions.control, predictions.features,
        plain,
    )  # fmt: skip
    counted = predictions.rows is not None
    parts = counts_parts(counts, settings, population) if counted else parts_of(rows, counts, settings, population)
    return make_check(
        conclude({"": counts}, settings, {"": counts.missing}, {"": design} if design else {}),
        counts,
        [
            *scored.parts,
            *([Findings(metrics=list(release.metrics))] if release else []),
            *parts,
            ll144_part(counts, options, where),
        ],
        policy,
        settings,
        positive=decisions.positive,
        classes=decisions.classes,
        where=where,
        label=predictions.label_name,
        caveats=decisions.caveats,
        design=design,
        release=release,
        score_counts=scored.counts,
    )


@dataclass(frozen=True)
class _Scored:
    counts: ScoreCounts | None
    parts: list[Findings]


def _scored(
    predictions: Predictions,
    groups: GroupCodes,
    decisions: Decisions,
    counts: Counts,
    weights: Floats | None,
    plain: bool,
    settings: Settings,
    policy: Policy,
) -> _Scored:
    """What scores add: ranking by group, and for probabilities calibration and other thresholds."""
    if predictions.scores is None:
        return _Scored(None, [])
    scores = as_numbers(predictions.scores, predictions.score_name, predictions.where)
    clusters = None if predictions.clusters is None else encode_column(predictions.clusters)[0]
    ranked = auc_rows(scores, decisions.truth, single_groups(groups), settings, Drawn(weights, clusters))
    try:
        if not plain:
            raise InputError("rows are weighted or drawn from strata or clusters")
        binned = ScoreCounts.tally(groups, decisions.truth, scores, where=predictions.score_name)
    except InputError as problem:
        text = f"scores were ranked, but calibration within groups was not judged: {problem}"
        note = Caveat("fairness", text, "fairness/calibration_error", "note")
        return _Scored(None, [Findings(metrics=ranked, caveats=[note])])
    return _Scored(binned, [Findings(metrics=ranked), *scores_parts(binned, counts, settings, policy)])


def ll144_part(counts: Counts, options: Options, where: str) -> Findings:
    """The tables of Local Law 144, where they are asked for. Raises InputError where rows are weighted."""
    asked = options.get("ll144")
    if asked is None:
        return Findings()
    if counts.weights is not None:
        raise InputError(f"{where}: the tables of Local Law 144 count people; leave out the weights")
    tables = standards_tables(counts, *asked)
    return Findings(tables={name: table for name, table in tables.items() if name.startswith("ll144")})


def _release(
    predictions: Predictions, groups: GroupCodes, decisions: Decisions, settings: Settings
) -> ReleaseCheck | None:
    if predictions.previous is None:
        return None
    from auditkit.fairness.release import PairedCounts, compare

    old = decide(
        predictions.labels,
        predictions.previous,
        predictions.positive,
        threshold=predictions.threshold,
        where=predictions.where,
        label_name=predictions.label_name,
        prediction_name=predictions.previous_name,
    )
    return compare(PairedCounts.tally(groups, decisions.truth, old.decision, decisions.decision), settings)


def policy_of(attributes: tuple[str, ...], options: Options) -> Policy:
    """The gates of a policy, or, where none is given, four-fifths of every attribute."""
    asked = options.get("policy")
    gates = default_policy(attributes) if asked is None else dict(asked)
    return parse_gates(gates, options.get("policy_name", "policy"))


def default_policy(attributes: tuple[str, ...]) -> dict[str, Gate]:
    """Four-fifths of every attribute: the lowest selection rate at least 0.8 of the highest."""
    return {"four_fifths": Gate(at_least=FOUR_FIFTHS, of=list(attributes))}
