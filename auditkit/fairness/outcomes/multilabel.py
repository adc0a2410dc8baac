"""Sets of labels: several yes-or-no decisions about each person, judged one by one and as a whole.

Each label is judged as decisions are (`auditkit.fairness.outcomes.one_by_one`). Of the set, per group:

    subset accuracy   share of rows with every label right
    Hamming loss      share of single decisions that are wrong
    macro F1          mean over labels of F = 2 TP / (positives + predicted positives);   micro F1: F of all labels

What one pass keeps per group adds up: rows by the number of wrong labels [L + 1], and the moments XᵀX of
X = [right positives, positives, predicted positives] (0 or 1, [n, 3L]), whose diagonal holds every label's counts. A
row's part in F is linear in X, (2·tp - F·(y + ŷ)) / (positives + predicted positives), so that the moments also give
the standard errors (delta method), whatever ties the labels together; a label without any error has no variance of its
own and gets that with one success and one failure added. Names and values follow scikit-learn.
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
from auditkit.fairness.counting.columns import as_columns, as_numbers
from auditkit.fairness.counting.counts import Counts, GroupCodes
from auditkit.fairness.groups.definitions import GAPS, RATES
from auditkit.fairness.groups.gaps import Comparison
from auditkit.fairness.groups.margin import Margin
from auditkit.fairness.groups.rates import rate_rows
from auditkit.fairness.outcomes.averages import Average
from auditkit.fairness.outcomes.comparisons import Floats, Grouping, Integers, groupings
from auditkit.fairness.outcomes.multiclass import FEWEST, WORK, margin_names
from auditkit.fairness.outcomes.one_by_one import Questions
from auditkit.fairness.settings import Settings
from auditkit.statistics.resampling import multinomial_replicates

MAXIMUM_LABELS = 100
AVERAGES = {"hamming_loss": "Hamming loss", "label_macro_f1": "macro F1", "label_micro_f1": "micro F1"}
_COUNTS = pa.schema(
    [(name, pa.string()) for name in ("attribute", "group", "label")]
    + [(name, pa.int64()) for name in ("tn", "fp", "fn", "tp")]
)


@dataclass(frozen=True)
class LabelCounts:
    """wrong: int64 [groups, L + 1], rows by how many labels are wrong; moments: int64 [groups, 3L, 3L]."""

    groups: GroupCodes
    labels: tuple[str, ...]
    wrong: Integers
    moments: Integers

    @classmethod
    def tally(
        cls, groups: GroupCodes, truth: npt.NDArray[np.bool_], decision: npt.NDArray[np.bool_], labels: Sequence[str]
    ) -> LabelCounts:
        """Count rows. truth, decision: bool [n, L]."""
        number, width = len(groups.groups), len(labels)
        mistakes = (truth != decision).sum(axis=1)
        wrong = np.bincount(groups.codes * (width + 1) + mistakes, minlength=number * (width + 1))
        every = np.concatenate([truth & decision, truth, decision], axis=1)
        order = np.argsort(groups.codes, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(groups.codes, minlength=number))[:-1])
        moments = np.zeros((number, 3 * width, 3 * width), dtype=np.int64)
        for at, part in enumerate(parts):
            x = every[part].astype(np.float64)
            moments[at] = np.rint(x.T @ x)
        return cls(groups, tuple(labels), wrong.reshape(number, -1), moments)

    def margin(self, grouping: Grouping) -> Sums:
        """The sums over a coarser grouping."""
        wrong = np.zeros((len(grouping.names), self.wrong.shape[1]), dtype=np.int64)
        moments = np.zeros((len(grouping.names), *self.moments.shape[1:]), dtype=np.int64)
        np.add.at(wrong, grouping.places, self.wrong)
        np.add.at(moments, grouping.places, self.moments)
        return Sums(wrong, moments)


@dataclass(frozen=True)
class Sums:
    """The counts of one grouping's groups."""

    wrong: Integers
    moments: Integers

    @property
    def n(self) -> Integers:
        """Rows by group."""
        return np.asarray(self.wrong.sum(axis=1))

    @property
    def parts(self) -> tuple[Integers, Integers, Integers]:
        """Right positives, positives and predicted positives, each [groups, L]."""
        diagonal = np.diagonal(self.moments, axis1=1, axis2=2)
        tp, positive, chosen = np.split(diagonal, 3, axis=1)
        return tp, positive, chosen

    def cells(self, place: int) -> Integers:
        """One label's counts [groups, label, decision]."""
        tp, positive, chosen = (part[:, place] for part in self.parts)
        negative = np.stack([self.n - positive - chosen + tp, chosen - tp], axis=1)
        return np.stack([negative, np.stack([positive - tp, tp], axis=1)], axis=1)

    def subset(self) -> Integers:
        """Rows with every label right, and others, as cells of which the accuracy is the share."""
        cells = np.zeros((len(self.wrong), 2, 2), dtype=np.int64)
        cells[:, 1, 1] = self.wrong[:, 0]
        cells[:, 1, 0] = self.n - self.wrong[:, 0]
        return cells

    def hamming(self) -> tuple[Floats, Floats]:
        """Hamming loss by group and its standard error."""
        n, width = np.maximum(self.n, 1)[:, None], self.wrong.shape[1] - 1
        share = np.arange(width + 1) / width
        value = (self.wrong * share / n).sum(axis=1)
        spread = (self.wrong * (share - value[:, None]) ** 2).sum(axis=1) / n[:, 0]
        smoothed = (value * n[:, 0] + 1) / (n[:, 0] + 2)
        least = smoothed * (1 - smoothed) / width
        return value, np.sqrt(np.maximum(spread, np.where(spread > 0, 0, least)) / n[:, 0])

    def f1(self, micro: bool) -> tuple[Floats, Floats]:
        """Micro or macro F1 by group and its standard error."""
        tp, positive, chosen = self.parts
        if micro:
            twice, size = 2.0 * tp.sum(axis=1, keepdims=True), (positive + chosen).sum(axis=1, keepdims=True)
        else:
            twice, size = 2.0 * tp, positive + chosen
        f = np.divide(twice, size, out=np.zeros(size.shape), where=size > 0)
        inverse = np.divide(1.0, size, out=np.zeros(size.shape), where=size > 0) / f.shape[1]
        weights = np.concatenate(
            [np.broadcast_to(2 * inverse, tp.shape), *[np.broadcast_to(-f * inverse, tp.shape)] * 2], axis=1
        )
        variance = np.einsum("gi,gij,gj->g", weights, self.moments, weights)
        smoothed = (twice / 2 + 1) / (size / 2 + 2)
        still = np.where((f == 0) | (f == 1), smoothed * (1 - smoothed) / (size / 2 + 2), 0.0)
        return f.mean(axis=1), np.sqrt(np.maximum(variance, 0) + still.sum(axis=1) / f.shape[1] ** 2)


def multilabel_findings(
    groups: GroupCodes, truth: Any, decision: Any, settings: Settings, where: str = "labels"
) -> Findings:
    """Each label's rates and gaps, the worst gap over labels, and the set's averages by group.

    truth, decision: 0 or 1, [n, L]; an array, a data frame, a mapping or an Arrow table, whose columns are the labels.
    Raises InputError for other values, or for decisions about other labels.
    """
    first, labels = _flags(truth, f"{where}, y_true")
    second, others = _flags(decision, f"{where}, y_pred")
    if labels != others:
        odd = sorted({*labels} ^ {*others})
        if odd or len(labels) != len(others):
            raise InputError(f"{where}: labels and decisions have different columns: {', '.join(map(repr, odd[:5]))}")
        second = second[:, [others.index(name) for name in labels]]
    if not first.shape == second.shape == (len(groups.codes), len(labels)):
        raise InputError(
            f"{where}: y_true has shape {first.shape}, y_pred {second.shape}; groups were given for "
            f"{len(groups.codes):,} rows"
        )
    if len(labels) > MAXIMUM_LABELS:
        raise InputError(f"{where}: {len(labels)} labels are more than the {MAXIMUM_LABELS} that can be judged")
    return counted_findings(LabelCounts.tally(groups, first, second, labels), settings)


def _flags(values: Any, where: str) -> tuple[npt.NDArray[np.bool_], list[str]]:
    if isinstance(values, np.ndarray) or hasattr(values, "detach"):
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.ndim != 2:
            raise InputError(f"{where}: shape {array.shape}; give one column per label")
        values = {f"label_{at}": array[:, at] for at in range(array.shape[1])}
    columns = as_columns(values, where)
    if not columns:
        raise InputError(f"{where}: there is no label; give one column per label")
    numbers = np.stack([_plain(column, name, where) for name, column in columns.items()], axis=1)
    strange = ~np.isin(numbers, (0, 1)).all(axis=0)
    if strange.any():
        raise InputError(f"{where}: {list(columns)[int(np.argmax(strange))]!r} holds values other than 0 and 1")
    return numbers == 1, list(columns)


def _plain(column: pa.Array, name: str, where: str) -> Floats:
    return as_numbers(column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column, name, where)


def counted_findings(counts: LabelCounts, settings: Settings) -> Findings:
    """`multilabel_findings` from counts alone."""
    every, left_out = groupings(counts.groups, settings)
    rows: list[MetricRow] = []
    records: list[dict[str, Any]] = []
    for grouping in every:
        sums = counts.margin(grouping)
        rows += _rows(counts.labels, grouping, sums, settings)
        if " × " not in grouping.attribute:
            records += _records(counts.labels, grouping, sums)
    caveats = [Caveat("fairness", f"{name} has too many groups to be compared and was left out", name)
               for name in left_out]  # fmt: skip
    return Findings(metrics=rows, tables={"label_counts": pa.Table.from_pylist(records, schema=_COUNTS)},
                    caveats=caveats)  # fmt: skip


def _rows(labels: Sequence[str], grouping: Grouping, sums: Sums, settings: Settings) -> Iterator[MetricRow]:
    attributes, groups = margin_names(grouping)
    most = WORK // (4 * len(groups) * len(labels))
    settings = replace(settings, replicates=max(1000, min(settings.replicates, most)))

    def margin(cells: Integers, name: str) -> Margin:
        rng = np.random.default_rng([*settings.seed, zlib.crc32(f"label/{grouping.attribute}/{name}".encode())])
        drawn = [multinomial_replicates(part, settings.replicates, stream)
                 for part, stream in zip(cells, rng.spawn(len(cells)), strict=True)]  # fmt: skip
        return Margin(Counts(attributes, groups, cells), np.stack(drawn))

    subset = margin(sums.subset(), "")
    for row, _ in rate_rows(subset, RATES["accuracy"], settings):
        yield replace(row, metric="subset_accuracy")
    averages = list(_averages(labels, sums, settings))
    for average in averages:
        yield from average.group_rows(grouping, settings)
    questions = Questions("label", labels, [margin(sums.cells(at), name) for at, name in enumerate(labels)])
    yield from questions.rate_rows(settings)
    if grouping.attribute:
        row = Comparison(subset, settings).gap_row(GAPS["accuracy_difference"])
        yield replace(row, metric="subset_accuracy_difference", compares=("subset_accuracy",))
        yield from (average.gap_row(grouping, settings) for average in averages)
        yield from questions.gap_rows(settings)


def _averages(labels: Sequence[str], sums: Sums, settings: Settings) -> Iterator[Average]:
    few = [f"only {n} rows, fewer than the {settings.minimum_group} needed to judge"
           if n < max(1, settings.minimum_group) else "" for n in sums.n.tolist()]  # fmt: skip
    value, error = sums.hamming()
    yield Average("hamming_loss", value, error, sums.n, few, better="lower", how="standard error over rows")
    _, positive, chosen = sums.parts
    needed = max(1, min(FEWEST, settings.minimum_group))
    for name, micro in (("label_macro_f1", False), ("label_micro_f1", True)):
        size = (positive + chosen) / 2
        size = size.sum(axis=1, keepdims=True) if micro else size
        reasons = [
            reason
            or (
                ""
                if size[at].min() >= needed
                else "too few labels given or predicted"
                + ("" if micro else f" for {labels[int(size[at].argmin())]!r}")
                + f": {size[at].min():g} on average, {needed} are needed"
            )
            for at, reason in enumerate(few)
        ]
        value, error = sums.f1(micro)
        yield Average(name, value, error, sums.n, reasons, how="delta method over rows")


def _records(labels: Sequence[str], grouping: Grouping, sums: Sums) -> Iterator[dict[str, Any]]:
    for place, label in enumerate(labels):
        for group, cells in zip(grouping.names, sums.cells(place).reshape(-1, 4).tolist(), strict=True):
            yield {"attribute": grouping.attribute, "group": group, "label": label,
                   **dict(zip(("tn", "fp", "fn", "tp"), cells, strict=True))}  # fmt: skip
