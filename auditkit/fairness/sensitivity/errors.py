"""How much of a verdict hangs on labels and groups being right.

Labels come from people and registers, groups from forms and guesses; some are wrong. Two questions, answered from
counts alone:

* If up to a share x of every group's labels (or group memberships) were wrong, in the places where it matters most, how
  small and how large could the gap be? That is a worst case: no assumption about where the errors lie.
* If a share x of the labels were wrong at random, whatever the group and the decision, which gap would there be in
  truth? Then what is observed mixes both labels, and is unmixed by inverting the mixture (Rogan and Gladen 1978,
  American Journal of Epidemiology 107(1), 71-76): with decision d and observed positives P of n,  P_true = (P - x n) /
  (1 - 2x).

Wrong labels move rows between the columns of a decision: a missed person (FN) may be a rightly refused one (TN), a
wrongly chosen one (FP) a rightly chosen one (TP), and back. Wrong groups put rows of any kind into a group or take them
out of it, up to the share of its rows each way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from auditkit.fairness.counting.counts import Counts, Floats
from auditkit.fairness.groups.definitions import GAPS, RATES, Gap, Rate
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.settings import Settings

Errors: TypeAlias = Literal["labels", "groups"]
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "metric", "errors")]
    + [(name, pa.float64()) for name in ("share", "value", "smallest", "largest", "corrected")]
)
OF_LABELS = ("equal_opportunity_difference", "equalized_odds_difference", "predictive_parity_difference",
             "accuracy_difference")  # fmt: skip
OF: dict[Errors, tuple[str, ...]] = {
    "labels": OF_LABELS,
    "groups": ("demographic_parity_difference", "demographic_parity_ratio", *OF_LABELS),
}


@dataclass(frozen=True)
class Range:
    """The rates of judged groups with errors at their worst: lowest and highest, float64 [groups]."""

    lowest: Floats
    highest: Floats

    def gap(self, gap: Gap) -> tuple[float, float]:
        """The smallest and the largest gap that rates within the range can have."""
        if gap.kind == "difference":
            return max(0.0, float(self.lowest.max() - self.highest.min())), _widest(self.lowest, self.highest)
        return _ratios(self.lowest, self.highest)


def _widest(lowest: Floats, highest: Floats) -> float:
    apart = highest[:, None] - lowest[None, :]
    np.fill_diagonal(apart, 0.0)
    return float(apart.max())


def _ratios(lowest: Floats, highest: Floats) -> tuple[float, float]:
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(highest[None, :] > 0, lowest[:, None] / highest[None, :], 1.0)
    np.fill_diagonal(apart, 1.0)
    most = float(highest.min() / lowest.max()) if lowest.max() > 0 else 1.0
    return min(1.0, float(apart.min())), min(1.0, most)


def rates_with_errors(cells: Floats, rate: Rate, errors: Errors, share: float) -> Range:
    """How low and how high every group's rate may be with up to `share` of its labels or of its members wrong.

    cells: [groups, label, decision]. Errors may fall on any row; in groups as many may be missing as are too many.

    >>> from auditkit.fairness.groups.definitions import RATES
    >>> found = rates_with_errors(np.array([[[40.0, 10], [10, 40]]]), RATES["accuracy"], "labels", 0.1)
    >>> found.lowest.round(2).tolist(), found.highest.round(2).tolist()
    ([0.7], [0.9])
    """
    budget = share * cells.sum(axis=(1, 2))
    if errors == "groups":
        k, n = fraction_of(cells, rate)
        out_low, out_high = np.minimum(budget, k), np.minimum(budget, n - k)
        # members who left had the outcome, or joined without it
        lowest = _divided(k - out_low, n - out_low + budget)
        highest = _divided(k + budget, n - out_high + budget)
        return Range(lowest, highest)
    ends = [_relabelled(cells, rate, budget * part, budget * (1 - part)) for part in _splits(cells, budget)]
    return Range(np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0))


def _splits(cells: Floats, budget: Floats) -> Iterator[Floats]:
    """Shares of the errors that may fall on refused rows, [groups]: all, none, and where rows of a kind run out.

    A rate is a ratio of linear functions of that share between these points, so its extremes lie on them.
    """
    each = np.maximum(budget, 1e-300)
    yield from (np.zeros(len(cells)), np.ones(len(cells)))
    for label in (0, 1):
        yield np.clip(cells[:, label, 0] / each, 0, 1)
        yield np.clip(1 - cells[:, label, 1] / each, 0, 1)


def _relabelled(cells: Floats, rate: Rate, refused: Floats, chosen: Floats) -> tuple[Floats, Floats]:
    """The lowest and highest rate with so many labels of refused and of chosen rows wrong, one way or the other."""
    found = []
    for up_refused in (False, True):
        for up_chosen in (False, True):
            moved = cells.astype(np.float64).copy()
            for decision, budget, up in ((0, refused, up_refused), (1, chosen, up_chosen)):
                source, target = (0, 1) if up else (1, 0)
                rows = np.minimum(budget, moved[:, source, decision])
                moved[:, source, decision] -= rows
                moved[:, target, decision] += rows
            found.append(_divided(*fraction_of(moved, rate), empty=np.nan))
    every = np.array(found)
    return np.where(np.isnan(every), 0.0, every).min(axis=0), np.where(np.isnan(every), 1.0, every).max(axis=0)


def _divided(k: Floats, n: Floats, empty: float = 0.0) -> Floats:
    return np.divide(k, n, out=np.full(np.shape(k), empty), where=n > 0)


def unmixed(cells: Floats, share: float) -> Floats:
    """The cells as they would be had a share of the labels been wrong at random. cells: [groups, label, decision].

    >>> unmixed(np.array([[[82.0, 26], [18, 74]]]), 0.1).tolist()
    [[[90.0, 20.0], [10.0, 80.0]]]
    """
    total = cells.sum(axis=1)
    positive = np.clip((cells[:, 1] - share * total) / (1 - 2 * share), 0, total)
    return np.asarray(np.stack([total - positive, positive], axis=1).round(9))


def judged_cells(counts: Counts, gap: Gap, settings: Settings) -> Floats:
    """The cells of the groups that can be judged in every rate of the gap."""
    enough = np.all(
        [fraction_of(counts.cells, RATES[rate])[1] >= max(1, settings.minimum_group) for rate in gap.rates], axis=0
    )
    return np.asarray(counts.totals[enough], dtype=np.float64)


def gap_with_errors(cells: Floats, gap: Gap, errors: Errors, share: float) -> tuple[float, float]:
    """The smallest and the largest gap that up to `share` of errors could make of it. Two groups at least."""
    ends = [rates_with_errors(cells, RATES[rate], errors, share).gap(gap) for rate in gap.rates]
    pick = max if gap.kind == "difference" else min
    return pick(end[0] for end in ends), pick(end[1] for end in ends)


def _value(cells: Floats, gap: Gap) -> float:
    return gap_with_errors(cells, gap, "groups", 0.0)[0 if gap.kind == "difference" else 1]


def sensitivity_table(counts: Counts, settings: Settings, split: str = "") -> pa.Table:
    """Every attribute's gaps with a share of labels or group memberships wrong: schema `SCHEMA`."""
    return pa.Table.from_pylist(list(_records(counts, settings, split)), schema=SCHEMA)


def _records(counts: Counts, settings: Settings, split: str) -> Iterator[dict[str, object]]:
    for attribute in counts.attributes:
        margin = counts.margin([attribute])
        for errors, metrics in OF.items():
            for metric in metrics:
                gap = GAPS[metric]
                cells = judged_cells(margin, gap, settings)
                if len(cells) < 2:
                    continue
                same = {"split": split, "attribute": attribute, "metric": metric, "errors": errors}
                for share in SHARES:
                    smallest, largest = gap_with_errors(cells, gap, errors, share)
                    found = {"value": _value(cells, gap), "smallest": smallest, "largest": largest}
                    corrected = _value(unmixed(cells, share), gap) if errors == "labels" else None
                    yield {**same, "share": share, **found, "corrected": corrected}
