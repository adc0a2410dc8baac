"""Decisions among several classes: a confusion count per group, from which every number here follows.

One pass counts [groups, K, K] rows by group, label and decision. Each class against the rest is a table label ×
decision as for a yes or no, and goes through the same rates and gaps (`auditkit.fairness.outcomes.one_by_one`). Macro
averages weigh every class alike, as scikit-learn's `average="macro"`:

    macro TPR = mean over classes of TP / rows of the class          macro precision = mean of TP / decisions for it
    macro F1  = mean of 2 TP / (rows of the class + decisions for it)

A class that a group has no rows of has no rate, and the group then has no average: it is insufficient, never 0. Rows
are resampled within groups; a standard error is never below that which each class has with one success and one
failure added (Agresti and Caffo 2000), so that a rate of 1 over a few rows is not taken for certain. Fairness of
multiclass decisions class by class: Denis, Elie, Hebiri and Hu (2024), JMLR 25(130), 1-46.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.columns import encode_labels
from auditkit.fairness.counting.counts import Counts, GroupCodes
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.gaps import Comparison
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.groups.rates import rate_rows
from auditkit.fairness.outcomes.averages import Average
from auditkit.fairness.outcomes.comparisons import Floats, Grouping, Integers, groupings
from auditkit.fairness.outcomes.one_by_one import Questions
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import multinomial_replicates

MAXIMUM_CLASSES = 100
FEWEST = 10
WORK = 40_000_000
MACRO = {
    "macro_true_positive_rate": "macro true positive rate",
    "macro_precision": "macro precision",
    "macro_f1": "macro F1",
}
_COUNTS = pa.schema([(name, pa.string()) for name in ("attribute", "group", "label", "decision")] + [("n", pa.int64())])


@dataclass(frozen=True)
class ClassCounts:
    """Rows by group, label and decision: cells int64 [groups, K, K]; classes: K names."""

    groups: GroupCodes
    classes: tuple[str, ...]
    cells: Integers

    @classmethod
    def tally(cls, groups: GroupCodes, truth: Integers, decision: Integers, classes: Sequence[str]) -> ClassCounts:
        """Count rows. truth, decision: int64 [n], places in `classes`."""
        k = len(classes)
        if k < 2 or k > MAXIMUM_CLASSES:
            raise InputError(f"{k} classes cannot be judged; there must be from 2 to {MAXIMUM_CLASSES}")
        flat = (groups.codes * k + truth) * k + decision
        cells = np.bincount(flat, minlength=len(groups.groups) * k * k).reshape(-1, k, k)
        return cls(groups, tuple(classes), cells)

    def margin(self, grouping: Grouping) -> Integers:
        """The cells of a coarser grouping, [groups, K, K]."""
        cells = np.zeros((len(grouping.names), *self.cells.shape[1:]), dtype=np.int64)
        np.add.at(cells, grouping.places, self.cells)
        return cells


@dataclass(frozen=True)
class Totals:
    """What rates depend on. right, labels, decisions: [groups, K, ...]; n: [groups, ...]; `...` are resamples."""

    right: npt.NDArray
    labels: npt.NDArray
    decisions: npt.NDArray
    n: npt.NDArray

    @classmethod
    def of(cls, cells: npt.NDArray) -> Totals:
        """Of cells [groups, K, K]."""
        right = np.diagonal(cells, axis1=1, axis2=2)
        return cls(right, cells.sum(axis=2), cells.sum(axis=1), cells.sum(axis=(1, 2)))

    def against_rest(self, place: int) -> npt.NDArray:
        """One class against the rest as cells [groups, label, decision, ...]."""
        tp, positive, chosen = self.right[:, place], self.labels[:, place], self.decisions[:, place]
        negative = np.stack([self.n - positive - chosen + tp, chosen - tp], axis=1)
        return np.stack([negative, np.stack([positive - tp, tp], axis=1)], axis=1)

    def correct(self) -> npt.NDArray:
        """Right and wrong decisions as cells [groups, label, decision, ...] of which the accuracy is the share."""
        right = self.right.sum(axis=1)
        nothing = np.zeros_like(right)
        return np.stack(
            [np.stack([nothing, nothing], axis=1), np.stack([self.n - right, right], axis=1)],
            axis=1,
        )

    def fractions(self, metric: str) -> tuple[npt.NDArray, npt.NDArray]:
        """Each class's part of a macro average: successes and how many they are among, [groups, K, ...]."""
        if metric == "macro_true_positive_rate":
            return self.right, self.labels
        if metric == "macro_precision":
            return self.right, self.decisions
        return self.right, (self.labels + self.decisions) / 2


def resample(cells: Integers, settings: Settings, name: str) -> Totals:
    """Totals of resamples of cells [groups, K, K]: rows are drawn with replacement within each group.

    Fewer than `settings.replicates` are drawn where there are very many cells.
    """
    groups, k, _ = cells.shape
    replicates = max(1000, min(settings.replicates, WORK // (3 * groups * k)))
    right, labels, decisions = np.zeros((3, groups, k, replicates), dtype=np.int32)
    rng = np.random.default_rng([*settings.seed, zlib.crc32(f"multiclass/{name}".encode())])
    for group, stream in zip(range(groups), rng.spawn(groups), strict=True):
        label, decision = np.nonzero(cells[group])
        if not len(label):
            continue
        drawn = multinomial_replicates(cells[group][label, decision], replicates, stream)
        for at in range(len(label)):
            labels[group, label[at]] += drawn[at]
            decisions[group, decision[at]] += drawn[at]
            if label[at] == decision[at]:
                right[group, label[at]] += drawn[at]
    n = np.broadcast_to(cells.sum(axis=(1, 2))[:, None], (groups, replicates)).astype(np.int32)
    return Totals(right, labels, decisions, n)


def macro(totals: Totals, drawn: Totals, metric: str, settings: Settings) -> tuple[Floats, Floats, Integers]:
    """A macro average by group with its standard error, [groups], and the fewest rows of any of its classes."""
    of, among = totals.fractions(metric)
    of_drawn, among_drawn = drawn.fractions(metric)
    value = _share(of, among).mean(axis=1)
    spread = _share(of_drawn, among_drawn).mean(axis=1).var(axis=1)
    smoothed = (of + 1) / (among + 2)
    least = (smoothed * (1 - smoothed) / (among + 2)).sum(axis=1) / of.shape[1] ** 2
    return value, np.sqrt(np.maximum(spread, least)), np.floor(among.min(axis=1)).astype(np.int64)


def _share(of: npt.NDArray, among: npt.NDArray) -> Floats:
    return np.divide(of, among, out=np.zeros(of.shape, dtype=np.float64), where=among > 0)


def encode_classes(truth: pa.Array, decision: pa.Array) -> tuple[Integers, Integers, tuple[str, ...]]:
    """Labels and decisions as places among the classes that occur in either, and these, sorted.

    Raises InputError where one is missing.

    >>> encode_classes(pa.array(["a", "b"]), pa.array(["c", "b"]))[2]
    ('a', 'b', 'c')
    """
    if len(truth) != len(decision):
        raise InputError(f"there are {len(truth):,} labels and {len(decision):,} decisions; give one of each per row")
    first, first_names = encode_labels(truth, "y_true", "predictions")
    second, second_names = encode_labels(decision, "y_pred", "predictions")
    classes = sorted({*first_names, *second_names})
    places = [
        np.array([classes.index(name) for name in names], dtype=np.int64) for names in (first_names, second_names)
    ]
    return places[0][first], places[1][second], tuple(classes)


def multiclass_findings(
    groups: GroupCodes, truth: pa.Array, decision: pa.Array, settings: Settings, classes: Sequence[str] = ()
) -> Findings:
    """Accuracy, macro averages, each class's rates by group, and all gaps. truth, decision: class names [n].

    classes: the classes there are, where some may not occur; those that occur if empty. Raises InputError for missing
    labels, other lengths than the groups', or more than 100 classes.
    """
    first, second, found = encode_classes(truth, decision)
    if len(first) != len(groups.codes):
        raise InputError(f"there are {len(first):,} labels, but groups were given for {len(groups.codes):,} rows")
    if classes:
        if strange := sorted({*found} - {*classes}):
            raise InputError(f"{', '.join(map(repr, strange[:5]))} occur as labels or decisions, but are no classes")
        places = np.array([list(classes).index(name) for name in found], dtype=np.int64)
        first, second, found = places[first], places[second], tuple(classes)
    return counted_findings(ClassCounts.tally(groups, first, second, found), settings)


def counted_findings(counts: ClassCounts, settings: Settings) -> Findings:
    """`multiclass_findings` from counts alone."""
    every, left_out = groupings(counts.groups, settings)
    rows: list[MetricRow] = []
    records: list[dict[str, Any]] = []
    for grouping in every:
        cells = counts.margin(grouping)
        rows += _rows(counts, grouping, cells, settings)
        if " × " not in grouping.attribute:
            records += _records(counts.classes, grouping, cells)
    caveats = [Caveat("fairness", f"{name} has too many groups to be compared and was left out", name)
               for name in left_out]  # fmt: skip
    absent = [name for at, name in enumerate(counts.classes) if not counts.cells[:, at].any()]
    if absent:
        text = f"no row has the label {', '.join(map(repr, absent[:5]))}: macro averages have no value"
        caveats.append(Caveat("fairness", text, "fairness/macro_true_positive_rate"))
    return Findings(metrics=rows, tables={"class_counts": pa.Table.from_pylist(records, schema=_COUNTS)},
                    caveats=caveats)  # fmt: skip


def _rows(counts: ClassCounts, grouping: Grouping, cells: Integers, settings: Settings) -> Iterator[MetricRow]:
    totals, drawn = Totals.of(cells), resample(cells, settings, grouping.attribute)
    settings = replace(settings, replicates=drawn.n.shape[1])
    attributes, groups = margin_names(grouping)
    correct = Margin(Counts(attributes, groups, totals.correct()), drawn.correct())
    yield from (row for row, _ in rate_rows(correct, RATES["accuracy"], settings))
    averages = [_average(counts, totals, drawn, metric, settings) for metric in MACRO]
    for average in averages:
        yield from average.group_rows(grouping, settings)
    margins = [
        Margin(Counts(attributes, groups, totals.against_rest(place)), drawn.against_rest(place))
        for place in range(len(counts.classes))
    ]
    questions = Questions("class", counts.classes, margins)
    yield from questions.rate_rows(settings)
    if grouping.attribute:
        yield Comparison(correct, settings).gap_row(GAPS["accuracy_difference"])
        yield from (average.gap_row(grouping, settings) for average in averages)
        yield from questions.gap_rows(settings)


def margin_names(grouping: Grouping) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Attributes and groups as counts want them; already joined, so that they are written as the grouping says."""
    return ((grouping.attribute,) if grouping.attribute else ()), tuple((name,) for name in grouping.names)


def _average(counts: ClassCounts, totals: Totals, drawn: Totals, metric: str, settings: Settings) -> Average:
    value, error, fewest = macro(totals, drawn, metric, settings)
    among = totals.fractions(metric)[1]
    needed = max(1, min(FEWEST, settings.minimum_group))
    reasons = []
    for at, n in enumerate(totals.n.tolist()):
        rarest = counts.classes[int(among[at].argmin())]
        kind = "decisions for" if metric == "macro_precision" else "rows of"
        if n < settings.minimum_group:
            reasons.append(f"only {n} rows, fewer than the {settings.minimum_group} needed to judge")
        elif fewest[at] < needed:
            have = "no" if among[at].min() == 0 else f"only {among[at].min():g}"
            reasons.append(f"{have} {kind} class {rarest!r}; the average needs {needed} of every class")
        else:
            reasons.append("")
    how = f"standard error of {settings.replicates:,} resamples, one success and failure added to each class at least"
    return Average(metric, value, error, totals.n, reasons, how=how)


def _records(classes: Sequence[str], grouping: Grouping, cells: Integers) -> Iterator[dict[str, Any]]:
    for group, label, decision in np.argwhere(cells).tolist():
        yield {"attribute": grouping.attribute, "group": grouping.names[group], "label": classes[label],
               "decision": classes[decision], "n": int(cells[group, label, decision])}  # fmt: skip
