"""Every paired difference between a variant and its original, with its interval and what is left after Holm.

Differences that bear on whether a variant may be shipped are one family: the figures over all rows, the worst group,
the gaps, the out-of-distribution sets, and the accuracy (of numbers the absolute error) of every group. Among so many,
one in twenty would look worse by chance alone, so their p-values are adjusted together (Holm), variant by variant, and
only what is left then is said to be worse beyond chance. The intervals shown are each its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.fairness.counting.counts import encode_column
from auditkit.performance.calibration import log_losses
from auditkit.performance.observer import Predictions
from auditkit.performance.regression.observer import Numbers
from auditkit.spec import AuditSpec
from auditkit.statistics.multiplicity import holm
from auditkit.statistics.roc import auroc
from auditkit.subject.data import Schema, Split
from auditkit.variants.answers import Answers
from auditkit.variants.measures import MEASURES, Measure, Rows, Summed, Sums, resampled, worst_of
from auditkit.variants.number_measures import SummedNumbers
from auditkit.variants.paired import Difference, of_areas, of_extremes, of_means, of_resamples, of_shares

REPLICATES = 2_000
FEW = 20
"""Where fewer decisions than this differ, resamples of them are coarse."""


@dataclass(frozen=True)
class Compared:
    """One figure of a variant and of its original. attribute, group, split, detector: what it is of, where not all.

    family: whether its p-value is adjusted with the others. p_adjusted: by Holm, None outside the family.
    """

    variant: str
    metric: str
    original: float
    value: float
    difference: Difference
    n: int
    attribute: str = ""
    group: str = ""
    split: str = ""
    detector: str = ""
    family: bool = False
    p_adjusted: float | None = None

    @property
    def measure(self) -> Measure:
        """What the figure is."""
        return MEASURES[self.metric]

    def judged(self, confidence: float) -> str:
        """`worse` or `better` where the difference is beyond chance after Holm, else nothing."""
        if self.measure.better == "none" or self.p_adjusted is None or self.p_adjusted > 1 - confidence:
            return ""
        return "better" if (self.difference.value > 0) == (self.measure.better == "higher") else "worse"


def rows_of(
    test: Split, labels: npt.NDArray[Any], schema: Schema, spec: AuditSpec, kept: npt.NDArray[np.bool_] | None = None
) -> Rows:
    """The labelled test rows and their groups; the positive class of two where none is named is the second.

    kept: bool [n], the rows that labels are of, where they are not of all.
    """
    positive = schema.positive_index
    if positive is None and len(schema.classes) == 2:
        positive = 1
    groups: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
    for attribute in schema.sensitive:
        if attribute in test.table.column_names:
            codes, names = encode_column(test.column(attribute))
            codes = codes if kept is None else codes[kept]
            groups |= {(attribute, name): codes == place for place, name in enumerate(names)}
    minimum = spec.fairness.minimum_group
    return Rows(labels, len(schema.classes), groups, positive, minimum, spec.performance.bins)


def differences(
    rows: Rows, original: Answers, variants: Sequence[Answers], spec: AuditSpec, replicates: int = REPLICATES
) -> list[Compared]:
    """All differences of all variants. Every model's predictions are of the same rows, in one order."""
    level = spec.performance.confidence
    summed = [summed_of(rows, answers) for answers in (original, *variants)]
    drawn = resampled(summed, replicates, np.random.default_rng([spec.seed, 7_041]))
    points = [one.candidates(one.matrix.sum(axis=0)) for one in summed]
    found: list[Compared] = []
    for place, answers in enumerate(variants, start=1):
        if isinstance(answers.given, Numbers):
            plain = _of_numbers(rows, original.numbers, answers.numbers, answers.name, level)
            differ = len(rows.labels)
        else:
            plain = _of_decisions(rows, original.predictions, answers.predictions, answers.name, level)
            differ = _changed(original, answers)
        mine = [
            *plain,
            *_of_sums(answers.name, rows, points, drawn, place, level, differ),
            *_of_strange(original, answers, spec),
        ]
        family = [one for one in mine if one.family]
        adjusted = dict(zip(map(id, family), holm([one.difference.p_value for one in family]), strict=True))
        found += [replace(one, p_adjusted=float(adjusted[id(one)])) if one.family else one for one in mine]
    return found


def summed_of(rows: Rows, answers: Answers) -> Sums:
    """A model's rows as columns to be summed."""
    given = answers.given
    return SummedNumbers(rows, given) if isinstance(given, Numbers) else Summed(rows, given)


def _of_decisions(rows: Rows, before: Predictions, after: Predictions, name: str, level: float) -> Iterator[Compared]:
    yield from _of_all(rows, before, after, name, level)
    yield from _of_groups(rows, before, after, name, level)


def _of_numbers(rows: Rows, before: Numbers, after: Numbers, name: str, level: float) -> Iterator[Compared]:
    """Means of errors over everybody and by group, from the rows' own differences."""
    sizes = {"mae": np.abs(before.errors), "bias": before.errors, "mean_prediction": before.predicted}
    new_sizes = {"mae": np.abs(after.errors), "bias": after.errors, "mean_prediction": after.predicted}
    everybody = np.ones(len(rows.labels), dtype=bool)
    moved = of_means(np.abs(after.predicted - before.predicted), level)
    yield Compared(name, "move", 0.0, moved.value, moved, len(rows.labels))
    for (attribute, group), members in {("", ""): everybody, **rows.judged()}.items():
        for metric in ("mae", "mean_prediction") if group else ("mae", "bias"):
            was, now = sizes[metric][members], new_sizes[metric][members]
            change = of_means(now - was, level)
            yield Compared(
                name, metric, float(was.mean()), float(now.mean()), change, len(was), attribute, group,
                family=metric == "mae",
            )  # fmt: skip


def _of_all(rows: Rows, before: Predictions, after: Predictions, name: str, level: float) -> Iterator[Compared]:
    was, now = before.predicted == rows.labels, after.predicted == rows.labels
    yield _share(name, "accuracy", was, now, level, family=True)
    finite = before.finite & after.finite
    if finite.sum() > 1:
        losses = [log_losses(found.log_probabilities[finite], rows.labels[finite]) for found in (before, after)]
        change = of_means(losses[1] - losses[0], level)
        n = int(finite.sum())
        yield Compared(name, "log_loss", float(losses[0].mean()), float(losses[1].mean()), change, n, family=True)


def _share(
    name: str, metric: str, was: npt.NDArray, now: npt.NDArray, level: float,
    group: tuple[str, str] = ("", ""), family: bool = False,
) -> Compared:  # fmt: skip
    """The change of a share of rows, from which rows joined and which left."""
    change = of_shares(int((~was & now).sum()), int((was & ~now).sum()), len(was), level)
    return Compared(
        name, metric, float(was.mean()), float(now.mean()), change, len(was), group[0], group[1], family=family
    )


def _changed(original: Answers, answers: Answers) -> int:
    return int((original.predictions.predicted != answers.predictions.predicted).sum())


def _of_sums(
    name: str, rows: Rows, points: Sequence[Mapping], drawn: Sequence[Mapping], place: int, level: float, changed: int
) -> Iterator[Compared]:
    """Figures from resamples. Those of decisions have no p-value that the few decisions that changed could not have."""
    for metric, attribute in points[0]:
        if attribute and len(rows.attributes) == 1:
            continue  # the figure over all attributes is that of the one
        sides = [points[at][metric, attribute] for at in (0, place)]
        was, now = (float(worst_of(metric, side)) for side in sides)
        draws = (drawn[0][metric, attribute], drawn[place][metric, attribute])
        if len(sides[0]) == 1:
            change = of_resamples(now - was, draws[1][0] - draws[0][0], level)
        else:
            change = of_extremes(sides[0], sides[1], draws, MEASURES[metric].better == "higher", level)
        if metric != "calibration_error" and changed < FEW:
            said = f"{change.method}; only {changed} rows differ, so that it is too narrow"
            change = change._replace(p_value=max(change.p_value, min(1.0, 2.0 ** (1 - changed))), method=said)
        yield Compared(name, metric, was, now, change, len(rows.labels), attribute, family=not attribute)


def _of_groups(rows: Rows, before: Predictions, after: Predictions, name: str, level: float) -> Iterator[Compared]:
    was, now = before.predicted == rows.labels, after.predicted == rows.labels
    for group, members in rows.judged().items():
        yield _share(name, "accuracy", was[members], now[members], level, group, family=True)
    if rows.positive is None:
        return
    chosen = [found.predicted == rows.positive for found in (before, after)]
    for metric, groups in (
        ("selection_rate", rows.judged()),
        ("true_positive_rate", rows.judged(rows.labels == rows.positive)),
    ):
        for group, members in groups.items():
            yield _share(name, metric, chosen[0][members], chosen[1][members], level, group)


def _of_strange(original: Answers, answers: Answers, spec: AuditSpec) -> Iterator[Compared]:
    before, after = original.ood, answers.ood
    if before is None or after is None or before.test is None:
        return
    shared = [name for name in original.detectors(spec) if name in answers.detectors(spec)]
    for split in before.sets:
        for detector in shared:
            sides = []
            for side in (before.test, split):
                both = before.scores[side].has(detector) & after.scores[side].has(detector)
                sides.append([known.scores[side].scores[detector][both] for known in (before, after)])
            (normal, new_normal), (strange, new_strange) = sides
            if min(len(normal), len(strange)) < spec.fairness.minimum_group:
                continue
            change = of_areas((normal, strange), (new_normal, new_strange), spec.ood.confidence)
            was, now = auroc(normal, strange), auroc(new_normal, new_strange)
            yield Compared(
                answers.name, "ood_auroc", was, now, change, len(strange), split=split, detector=detector,
                family=detector == shared[-1],
            )  # fmt: skip


def changed(rows: Rows, answers: Sequence[Answers]) -> dict[str, list[tuple[str, str, int, int]]]:
    """Of every variant whose decisions changed, see `churn`; nothing where numbers are predicted."""
    first = answers[0]
    if isinstance(first.given, Numbers):
        return {}
    return {one.name: list(churn(rows, first.predictions, one.predictions)) for one in answers[1:]}


def churn(rows: Rows, before: Predictions, after: Predictions) -> Iterator[tuple[str, str, int, int]]:
    """(attribute, group, rows whose decision changed, rows), over everybody first."""
    changed = before.predicted != after.predicted
    yield "", "", int(changed.sum()), len(changed)
    for (attribute, group), members in rows.judged().items():
        yield attribute, group, int(changed[members].sum()), int(members.sum())
