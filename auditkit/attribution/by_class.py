"""By class and by answer: what a model rests on where it says one thing or another, and where it is right or wrong.

Shares are those of `importance.py`, averaged over the explained rows of one predicted class, and over those that were
answered right or wrong. How far the order of the columns can be relied on is asked of the bootstrap: the rows of a
selection are drawn again, with replacement, and ranked again. Each column gets the interval of its rank and in how
many of the draws it is among the leading five; the selection as a whole gets Spearman's correlation of each draw's
shares with those found (its median, with the interval that holds 95 % of the draws).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import rankdata

from auditkit.attribution.importance import Floats, mean_interval, shares
from auditkit.evidence.metrics import MetricRow
from auditkit.statistics.resampling import multinomial_replicates

NAME = "attribution"
FEWEST, LEADING, REPLICATES = 10, 5, 500
"""rows that a selection needs to be judged; ranks that count as leading; draws"""
BY_CLASS = pa.schema(
    [
        ("method", pa.string()),
        ("by", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),
        ("column", pa.string()),
        ("share", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("signed", pa.float64()),
        ("rank", pa.float64()),
        ("rank_lower", pa.float64()),
        ("rank_upper", pa.float64()),
        ("leading", pa.float64()),
        ("n", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""by: "" (all rows), "class" (as predicted) or "answer" (right, wrong). kind: "part", or "zone" of a picture"""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How stable ranks are. rank: [k], 1 for the largest share. lower, upper: [k], its interval. leading: [k], share of
    draws in which a column is among the first five. agreement: [draws], Spearman's correlation with the shares found.
    """

    rank: Floats
    lower: Floats
    upper: Floats
    leading: Floats
    agreement: Floats


def rank_stability(each: Floats, confidence: float, rng: np.random.Generator) -> Ranks:
    """The ranks of the columns' means of [n, k], n >= 1, and how they vary when the rows are drawn again.

    >>> found = rank_stability(np.array([[0.7, 0.2, 0.1]] * 20), 0.95, np.random.default_rng(0))
    >>> found.rank.tolist(), found.upper.tolist(), float(found.agreement.min())
    ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 1.0)
    """
    n, k = each.shape
    drawn = multinomial_replicates(np.ones(n, dtype=np.int64), REPLICATES, rng).T @ each / n
    own, ranks = rankdata(-each.mean(axis=0)), rankdata(-drawn.round(12), axis=1)
    edge = (1 - confidence) / 2
    lower, upper = np.quantile(ranks, [edge, 1 - edge], axis=0)
    a, b = own - own.mean(), ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    agreement = np.divide(b @ a, scale, out=np.ones(len(b)), where=scale > 0)
    return Ranks(own, lower, upper, (ranks <= min(LEADING, k)).mean(axis=0), agreement)


def selections(classes: Sequence[str], predictions: npt.NDArray, labels: npt.NDArray) -> dict[tuple[str, str], Any]:
    """(by, name) → which rows, bool [n]: all, those of each predicted class, those answered right and wrong.

    predictions, labels: class indices [n], labels -1 where the truth is not known. No classes: a regression, all alone.

    >>> list(selections(["a", "b"], np.array([0, 1]), np.array([0, 0])))
    [('', ''), ('class', 'a'), ('class', 'b'), ('answer', 'right'), ('answer', 'wrong')]
    """
    found = {("", ""): np.ones(len(predictions), dtype=bool)}
    for index, name in enumerate(classes):
        if (predictions == index).any():
            found["class", name] = predictions == index
    if classes and (labels >= 0).any():
        found["answer", "right"] = (predictions == labels) & (labels >= 0)
        found["answer", "wrong"] = (predictions != labels) & (labels >= 0)
    return found


def by_class_table(
    method: str,
    values: Floats,
    parts: Sequence[str],
    chosen: Mapping[tuple[str, str], npt.NDArray[np.bool_]],
    confidence: float,
    rng: np.random.Generator,
    zones: Mapping[str, Sequence[int]] | None = None,
) -> tuple[pa.Table, Floats]:
    """The table, as in `BY_CLASS`, and for all rows the agreement of every draw's ranks with those found.

    values: attributions [n, parts]. zones: of a picture, name → places of its parts.
    """
    lines: list[dict[str, Any]] = []
    overall = np.zeros(0)
    for (by, name), rows in chosen.items():
        each, own = shares(values[rows]), values[rows][np.abs(values[rows]).sum(axis=1) > 0]
        kinds: list[tuple[str, Sequence[str], Floats, Floats]] = [("part", parts, each, own)]
        if zones:
            matrix = np.zeros((len(parts), len(zones)))
            for place, members in enumerate(zones.values()):
                matrix[list(members), place] = 1.0
            kinds.append(("zone", tuple(zones), each @ matrix, own @ matrix))
        for kind, columns, held, signed in kinds:
            told = {"method": method, "by": by, "name": name, "kind": kind, "n": len(each)}
            few = FEWEST if by else 1
            if len(each) < few:
                reason = f"{len(each)} explained rows, fewer than {few}"
                lines += [told | {"column": column, "status": "insufficient", "reason": reason} for column in columns]
                continue
            lower, upper = mean_interval(held, confidence, rng)
            ranks = rank_stability(held, confidence, rng)
            if not by and kind == "part":
                overall = ranks.agreement
            numbers = {
                "share": held.mean(axis=0),
                "lower": lower,
                "upper": upper,
                "signed": signed.mean(axis=0),
                "rank": ranks.rank,
                "rank_lower": ranks.lower,
                "rank_upper": ranks.upper,
                "leading": ranks.leading,
            }
            for place, column in enumerate(columns):
                found = {key: float(value[place]) for key, value in numbers.items()}
                lines.append(told | found | {"column": column, "status": "ok", "reason": ""})
    return pa.Table.from_pylist(lines, schema=BY_CLASS), overall


def stability_row(method: str, split: str, agreement: Floats, confidence: float, n: int) -> MetricRow:
    """How far the order of the columns can be relied on, as a metric row."""
    if not len(agreement):
        reason = "no explained row has an attribution other than zero"
        return MetricRow(NAME, "rank_stability", split, detail=method, status="not applicable", reason=reason)
    edge = (1 - confidence) / 2
    lower, value, upper = (float(edge) for edge in np.quantile(agreement, [edge, 0.5, 1 - edge]))
    return MetricRow(
        NAME,
        "rank_stability",
        split,
        detail=method,
        value=value,
        lower=lower,
        upper=upper,
        confidence=confidence,
        n=n,
        better="higher",
        method="bootstrap over explained rows: Spearman's correlation of each draw's shares with those found",
    )
