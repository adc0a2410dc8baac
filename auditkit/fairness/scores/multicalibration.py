"""Multicalibration: do scores mean what they say in every group, intersection and band of the score at once?

A score is (C, alpha)-multicalibrated where, for every group S of a collection C and every band v of the score,

    | mean label - mean score  over the rows of S in v |  <=  alpha

(Hébert-Johnson, Kim, Reingold and Rothblum 2018, "Multicalibration: Calibration for the (Computationally-Identifiable)
Masses", ICML). What is reported is the smallest such alpha: the worst violation over all cells of group × band that
have rows enough to judge; as in the definition, thin cells are no part of it, and how many rows they hold is told. The
collection is everybody, every attribute's groups and every intersection of up to three attributes.

Given the scores, the positives of a cell vary no more than binomial ones with their mean (Hoeffding 1956, Annals of
Mathematical Statistics 27(3), 713-721), so Wilson's interval with continuity correction holds for the mean label;
Bonferroni's correction makes it hold for all cells at once, and with them for the worst one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.scores.bins import Floats, ScoreCounts
from auditkit.fairness.scores.calibration import bands_of, bands_that_fit
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, score_interval

EVERYBODY = "everybody"


@dataclass(frozen=True)
class Cells:
    """Filled cells of group × band. attribute, group: names; band, rows, positives: int64 [cells]; score: their mean.

    lower, upper: bounds of mean label - mean score, of judged cells at once; NaN where a cell has too few rows.
    """

    attribute: tuple[str, ...]
    group: tuple[str, ...]
    band: npt.NDArray[np.int64]
    bands: int
    rows: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    score: Floats
    judged: npt.NDArray[np.bool_]
    lower: Floats
    upper: Floats

    @property
    def difference(self) -> Floats:
        """Mean label less mean score: above zero, a cell is scored too low."""
        return self.positives / self.rows - self.score

    def table(self) -> pa.Table:
        """The judged cells, widest first: attribute, group, low, high (the band's edges), n, score, rate, difference,
        lower, upper."""
        kept = np.flatnonzero(self.judged)
        kept = kept[np.argsort(-np.abs(self.difference[kept]), kind="stable")]
        return pa.table(
            {
                "attribute": pa.array([self.attribute[at] for at in kept], pa.string()),
                "group": pa.array([self.group[at] for at in kept], pa.string()),
                "low": self.band[kept] / self.bands,
                "high": (self.band[kept] + 1) / self.bands,
                "n": self.rows[kept],
                "score": self.score[kept],
                "rate": (self.positives / self.rows)[kept],
                "difference": self.difference[kept],
                "lower": self.lower[kept],
                "upper": self.upper[kept],
            }
        )


def cells_of(
    counts: ScoreCounts, collection: Sequence[Sequence[str]], settings: Settings, bands: int | None = None
) -> Cells:
    """All filled cells of the groups over each set of attributes, with bounds that hold for all judged ones at once.

    collection: sets of attributes, `()` for everybody. A set with more than 200 groups is left out. bands: 10 by
    default.
    """
    bands = bands or bands_that_fit(counts)
    attribute: list[str] = []
    group: list[str] = []
    parts: list[tuple[npt.NDArray, ...]] = []
    for attributes in collection:
        margin = counts.margin(attributes)
        if len(margin.groups) > MAXIMUM_INTERSECTION:
            continue
        found = bands_of(margin, bands)
        at, band = np.nonzero(found.rows)
        rows = found.rows[at, band]
        parts.append((band, rows, found.positives[at, band], found.score[at, band] / rows))
        attribute += [joined(attributes)] * len(at)
        group += [margin.names[place] or EVERYBODY for place in at]
    band, rows, positives, score = (np.concatenate([part[which] for part in parts]) for which in range(4))
    judged = rows >= max(2, settings.minimum_group)
    lower, upper = np.full((2, len(rows)), np.nan)
    if judged.any():
        z = normal_quantile(1 - (1 - settings.confidence) / int(judged.sum()))
        low, high = score_interval(positives[judged], rows[judged], z, corrected=True)
        lower[judged], upper[judged] = low - score[judged], high - score[judged]
    return Cells(tuple(attribute), tuple(group), band, bands, rows, positives, score, judged, lower, upper)


def multicalibration_rows(counts: ScoreCounts, settings: Settings, split: str = "") -> list[MetricRow]:
    """`multicalibration_error` over each attribute's groups, and over all attributes and their intersections at once.

    A group none of whose cells has rows enough is named as not judged. Counts need at least one attribute.
    """
    collections: list[list[tuple[str, ...]]] = [[(name,)] for name in counts.attributes]
    if len(counts.attributes) > 1 and settings.intersections:
        collections.append(full_collection(counts.attributes, settings))
    return [_row(cells_of(counts, sets, settings), joined_name(sets, counts), settings, split) for sets in collections]


def full_collection(attributes: Sequence[str], settings: Settings) -> list[tuple[str, ...]]:
    """Everybody, the attributes' groups, and their intersections where these are looked at."""
    return [(), *subsets(attributes, settings.intersections)]


def joined_name(sets: Sequence[Sequence[str]], counts: ScoreCounts) -> str:
    """What a collection is called: its attribute, or all of them."""
    return joined(sets[0]) if len(sets) == 1 else joined(counts.attributes)


def _row(cells: Cells, attribute: str, settings: Settings, split: str) -> MetricRow:
    kept = np.flatnonzero(cells.judged)
    judged = {cells.group[at] for at in kept}
    unjudged = tuple(dict.fromkeys(name for name in cells.group if name not in judged))
    common: dict[str, Any] = {"split": split, "attribute": attribute, "unit": "points", "unjudged": unjudged}
    if not len(kept):
        needed = max(2, settings.minimum_group)
        reason = f"no group has {needed} rows in any band of the score"
        return MetricRow(
            "fairness", "multicalibration_error", n=int(cells.rows.sum()), better="lower", status="insufficient",
            reason=reason, **common,
        )  # fmt: skip
    size = np.abs(cells.difference[kept])
    nearest = np.maximum(0.0, np.maximum(cells.lower[kept], -cells.upper[kept]))
    farthest = np.maximum(np.abs(cells.lower[kept]), np.abs(cells.upper[kept]))
    worst = kept[int(size.argmax())]
    low = cells.band[worst] / cells.bands
    return MetricRow(
        "fairness",
        "multicalibration_error",
        detail=f"{cells.group[worst]}, scores {low:g} to {low + 1 / cells.bands:g}",
        value=float(size.max()),
        lower=float(nearest.max()),
        upper=float(farthest.max()),
        confidence=settings.confidence,
        n=int(cells.rows[kept].sum()),
        better="lower",
        method=f"Wilson's interval with continuity correction, Bonferroni over {len(kept)} cells of group and score",
        **common,
    )
