"""Check predictions for fairness: a table of predictions and a policy in, a verdict out. No model, no torch."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow, to_table
from auditkit.evidence.section import Section
from auditkit.evidence.verdict import GateResult, Verdict
from auditkit.fairness import frames
from auditkit.fairness.columns import as_column, as_columns, as_numbers
from auditkit.fairness.conclude import Conclusion, conclude
from auditkit.fairness.counts import Counts, GroupCodes, encode_groups
from auditkit.fairness.decisions import Decisions, decide
from auditkit.fairness.definitions import FOUR_FIFTHS
from auditkit.fairness.ranking import auc_rows, single_groups
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import score_rows
from auditkit.fairness.settings import Settings
from auditkit.fairness.standards import standards_tables
from auditkit.fairness.table import Predictions
from auditkit.gates import judge, overall, passes
from auditkit.spec import Gate, parse_gates
from auditkit.theme import VERDICTS, verdict_label

if TYPE_CHECKING:
    import pandas as pd

    from auditkit.fairness.release import ReleaseCheck
    from auditkit.fairness.scores.thresholds import Frontier

Policy = dict[str, list[Gate]]


class MetricRows(list[MetricRow]):
    """Metric rows, one number each; as a data frame when asked for."""

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return to_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        return to_table(self).to_pandas()


@dataclass(frozen=True)
class FairnessCheck:
    """What a check found. `metrics` are all numbers, `results` the gates held against them, `verdict` their outcome.

    counts: rows by group, label and decision, over all attributes. where: what was checked, in words.
    release: what changed since the last release, where its decisions were given. standards: tables that were asked for.
    score_counts: rows by group, label and score, where scores were given that are probabilities.
    """

    metrics: MetricRows
    conclusion: Conclusion
    caveats: list[Caveat]
    results: list[GateResult]
    policy: Policy
    counts: Counts
    positive: str
    classes: tuple[str, ...]
    settings: Settings
    where: str = "predictions"
    release: ReleaseCheck | None = None
    score_counts: ScoreCounts | None = None
    standards: Mapping[str, pa.Table] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """pass, fail, inconclusive, or missing where the policy has no gate."""
        return overall(self.results)

    @property
    def exit_code(self) -> int:
        """0 where no gate blocks, else 1."""
        return 0 if passes(self.results) else 1

    @property
    def rows(self) -> list[MetricRow]:
        """The metric rows, under the name that evidence has for them."""
        return self.metrics

    @property
    def tables(self) -> dict[str, pa.Table]:
        """`counts`, `rates`, `gaps`, `pairs`, `shrunken`, `four_fifths` and those of standards, as Arrow tables."""
        return {**self.conclusion.tables, **self.standards}

    def table(self, name: str) -> pa.Table | None:
        """A table by its name in evidence (`fairness/rates`), or None."""
        return self.tables.get(name.removeprefix("fairness/"))

    def findings(self) -> Findings:
        """The findings, as an audit keeps them."""
        return Findings(metrics=list(self.metrics), tables=dict(self.tables), caveats=list(self.caveats))

    def sections(self) -> list[Section]:
        """The findings as sections with a figure each."""
        from auditkit.fairness.view import sections

        return sections(self)

    @property
    def overall(self) -> pd.Series:
        """Each metric over everybody, as fairlearn's `MetricFrame.overall`."""
        return frames.overall(self.metrics)

    @property
    def by_group(self) -> pd.DataFrame:
        """Each group's metrics over all attributes crossed, as fairlearn's `MetricFrame.by_group`; NaN: not judged."""
        return frames.by_group(self.metrics, self.counts.attributes, self.counts.groups, "value")

    @property
    def intervals(self) -> pd.DataFrame:
        """Lower and upper ends of `by_group`, under a second level of columns."""
        import pandas as pd

        ends = {
            end: frames.by_group(self.metrics, self.counts.attributes, self.counts.groups, end)
            for end in ("lower", "upper")
        }
        return pd.concat(ends, axis=1).swaplevel(axis=1).sort_index(axis=1)

    @property
    def disparities(self) -> pd.DataFrame:
        """The gaps by attribute, with intervals."""
        return frames.disparities(self.metrics)

    def frontier(self, metric: str, threshold: float = 0.5) -> Frontier:
        """The best accuracy for each allowed gap, with one threshold per group, over all attributes crossed.

        metric: `demographic_parity_difference`, `equal_opportunity_difference` or `equalized_odds_difference`;
        threshold: today's. Fitted on the rows of the check: hold a policy against other rows before trusting it
        (`auditkit.fairness.scores.thresholds.evaluate`). Raises InputError where no probabilities were given.
        """
        if self.score_counts is None:
            raise InputError(f"{self.where}: a frontier needs scores from 0 to 1; give them as scores=")
        from auditkit.fairness.scores.thresholds import frontier

        return frontier(self.score_counts, metric, threshold, minimum_group=self.settings.minimum_group)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The sections' figures by key."""
        return {section.key: section.figure for section in self.sections() if section.figure is not None}

    def __repr__(self) -> str:
        return f"FairnessCheck({self.verdict}, {self.counts.rows:,} rows, {len(self.metrics)} numbers)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(result.gate)}</td><td>{escape(result.subject)}</td>"
            f"<td>{escape(verdict_label(result.verdict))}</td><td>{escape(result.reason)}</td></tr>"
            for result in self.results
        )
        notes = "".join(f"<li>{escape(caveat.text)}</li>" for caveat in self.caveats)
        return (
            f"<div><strong>Fairness of {escape(self.where)}</strong> "
            f"<strong style='color:{VERDICTS[self.verdict][1]}'>{escape(verdict_label(self.verdict))}</strong> "
            f"<span>{self.counts.rows:,} rows, {len(self.metrics)} numbers</span>"
            f"<table><tr><th>gate</th><th>of</th><th>verdict</th><th>why</th></tr>{rows}</table><ul>{notes}</ul></div>"
        )


def check_fairness(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    scores: Any = None,
    previous: Any = None,
    positive: Any = None,
    ll144: tuple[str, str] | None = None,
    policy: Mapping[str, Any] | None = None,
    minimum_group: int = 30,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> FairnessCheck:
    """Rates by group, gaps between groups, all with intervals, and a verdict against a policy.

    y_true, y_pred: class labels [n] of any kind (list, numpy, pandas, polars, Arrow, tensor). sensitive_features: one
    column or several (mapping, data frame, two-dimensional array). scores: numbers [n], or None; larger is more
    positive, and AUC by group is added.
    previous: the last release's decisions on the same rows, or None; with them, changes are tested group by group.
    positive: the class a decision gives or flags a person with; may be left out where plain (0 and 1, no and yes).
    ll144: the attributes that are sex and race, for the tables of New York City's Local Law 144; None for none.
    policy: metric → condition, as under `gates:` in audit.yaml; when left out, four-fifths of every attribute.
    minimum_group: a rate over fewer rows is not judged.

    Raises InputError, in one sentence that says what, where and what to do, for input that cannot be judged.

    >>> sex = ["f", "m"] * 100
    >>> check = check_fairness([0, 0, 1, 1] * 50, [0, 1, 1, 1] * 50, sensitive_features={"sex": sex})
    >>> check.verdict, check.results[0].value
    ('fail', 0.5)
    """
    columns = as_columns(sensitive_features)
    predictions = Predictions(
        as_column(y_true, "y_true"),
        as_column(y_pred, "y_pred"),
        columns,
        None if scores is None else as_column(scores, "scores"),
        None if positive is None else _class_name(positive),
        previous=None if previous is None else as_column(previous, "y_previous"),
    )
    return check_predictions(
        predictions,
        ll144=ll144,
        policy=policy,
        minimum_group=minimum_group,
        replicates=replicates,
        confidence=confidence,
        seed=seed,
    )


def check_predictions(
    predictions: Predictions,
    *,
    ll144: tuple[str, str] | None = None,
    policy: Mapping[str, Any] | None = None,
    minimum_group: int = 30,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    policy_name: str = "policy",
) -> FairnessCheck:
    """`check_fairness` for predictions as `read_predictions` returns them. `policy_name` is for error sentences."""
    settings = _settings(minimum_group, replicates, confidence, seed)
    where = predictions.where
    decisions = decide(
        predictions.labels,
        predictions.decisions,
        predictions.positive,
        threshold=predictions.threshold,
        where=where,
        label_name=predictions.label_name,
        prediction_name=predictions.prediction_name,
    )
    rows = len(decisions.truth)
    _same_length(predictions, rows)
    if not predictions.sensitive:
        raise InputError(f"{where}: no sensitive attribute was given; name at least one")
    groups = encode_groups(predictions.sensitive, where)
    counts = Counts.tally(groups, decisions.truth, decisions.decision, each=predictions.rows)
    ranking: list[MetricRow] = []
    score_counts, notes = None, list[Caveat]()
    if predictions.scores is not None:
        scores = as_numbers(predictions.scores, predictions.score_name, where)
        ranking = auc_rows(scores, decisions.truth, single_groups(groups), settings)
        score_counts, notes = _score_counts(groups, decisions, scores, predictions.score_name)
        if score_counts is not None:
            ranking += score_rows(score_counts, settings)
    release = _release(predictions, groups, decisions, settings)
    gates = parse_gates(default_policy(counts.attributes) if policy is None else dict(policy), policy_name)
    conclusion = conclude({"": counts}, settings, {"": counts.missing})
    metrics = [*conclusion.metrics, *ranking, *(release.metrics if release else ())]
    return FairnessCheck(
        metrics=MetricRows(metrics),
        conclusion=conclusion,
        caveats=[*decisions.caveats, *conclusion.caveats, *notes],
        results=judge(metrics, gates),
        policy=gates,
        counts=counts,
        positive=decisions.positive,
        classes=decisions.classes,
        settings=settings,
        where=where,
        release=release,
        score_counts=score_counts,
        standards=standards_tables(counts, *ll144) if ll144 else {},
        info={
            "name": where,
            "schema": {
                "features": [],
                "classes": list(decisions.classes),
                "label": predictions.label_name,
                "positive": decisions.positive,
                "sensitive": list(counts.attributes),
            },
        },
    )


def _score_counts(
    groups: GroupCodes, decisions: Decisions, scores: npt.NDArray[np.float64], name: str
) -> tuple[ScoreCounts | None, list[Caveat]]:
    """The rows by score, or why scores were only ranked."""
    try:
        return ScoreCounts.tally(groups, decisions.truth, scores, where=name), []
    except InputError as problem:
        text = f"scores were ranked, but calibration within groups was not judged: {problem}"
        return None, [Caveat("fairness", text, "fairness/calibration_error", "note")]


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


def default_policy(attributes: tuple[str, ...]) -> dict[str, Gate]:
    """Four-fifths of every attribute: the lowest selection rate at least 0.8 of the highest."""
    return {"four_fifths": Gate(at_least=FOUR_FIFTHS, of=list(attributes))}


def _settings(minimum_group: int, replicates: int, confidence: float, seed: int) -> Settings:
    if minimum_group < 1:
        raise InputError(f"minimum_group must be at least 1, got {minimum_group}")
    if replicates < 200:
        raise InputError(f"replicates must be at least 200, got {replicates}; intervals need that many resamples")
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence must lie between 0.5 and 1, got {confidence:g}; 0.95 is usual")
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}")
    return Settings(minimum_group, replicates, confidence, seed=(seed, zlib.crc32(b"fairness")))


def _same_length(predictions: Predictions, rows: int) -> None:
    named = {f"sensitive column {name!r}": column for name, column in predictions.sensitive.items()}
    if predictions.scores is not None:
        named[predictions.score_name] = predictions.scores
    for name, column in named.items():
        if len(column) != rows:
            raise InputError(
                f"{predictions.where}: {name} has {len(column):,} rows, {predictions.label_name} {rows:,}; give one "
                "value for each row"
            )


def _class_name(positive: Any) -> str:
    from auditkit.subject.data import label_text

    text = label_text(positive.item() if hasattr(positive, "item") else positive)
    if text is None:
        raise InputError("positive must be a class, got NaN; name the positive class")
    return text
