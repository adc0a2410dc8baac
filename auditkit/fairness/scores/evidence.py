"""What scores add to a fairness check or an audit: the metric rows of the split that is judged, and evidence tables.

score_counts        the counts themselves, every split: all that a threshold set later needs
reliability         share of positives against mean score, by group and band
score_curves        rates at every second threshold, by group
multicalibration    every cell of group or intersection × band that can be judged, widest first
cross_auc           the chance that a positive of one group scores above a negative of another
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.margin import fraction_of
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import bands_that_fit, reliability
from auditkit.fairness.scores.metrics import score_rows
from auditkit.fairness.scores.multicalibration import cells_of, full_collection, multicalibration_rows
from auditkit.fairness.scores.ranking import cross_areas
from auditkit.fairness.scores.thresholds import SHOWN, decision_curves
from auditkit.fairness.settings import Settings

_SPLITS = b"auditkit_score_counts_by_split"
_ONE = b"auditkit_score_counts"
_STEP = 2
"""Of the thresholds every second is kept for the curves: half a point of score is finer than a figure shows."""


def score_findings(
    counts: Mapping[str, ScoreCounts], decided: Counts, settings: Settings, judged: str = ""
) -> Findings:
    """Metric rows of the judged split, and the tables. counts: split → scores; decided: the judged split's decisions.

    The name of a split is empty where there are no splits.
    """
    return Findings(
        metrics=score_metrics(counts[judged], decided, settings, judged), tables=score_tables(counts, settings, judged)
    )


def score_metrics(counts: ScoreCounts, decided: Counts, settings: Settings, split: str = "") -> list[MetricRow]:
    """All score metrics of one split, and `decision_threshold`: from which score on its decisions are positive."""
    return [
        *score_rows(counts, settings, split),
        *multicalibration_rows(counts, settings, split),
        threshold_row(counts, decided, split),
    ]


def threshold_row(counts: ScoreCounts, decided: Counts, split: str = "") -> MetricRow:
    """The threshold that yields exactly these decisions in every group; of several, the one nearest to one half.

    Not applicable where no single one does: the decisions then follow from more than this score.
    """
    if decided.groups == counts.groups:
        same = (decision_curves(counts) == decided.cells[..., None]).all(axis=(0, 1, 2))
        edges = counts.edges[np.flatnonzero(same)]
        if len(edges):
            used = float(edges[np.abs(edges - 0.5).argmin()])
            method = "the threshold that gives these decisions in every group"
            return MetricRow("fairness", "decision_threshold", split=split, value=used, n=counts.rows, method=method)
    reason = "no threshold on the score, the same for all, gives these decisions"
    return MetricRow(
        "fairness", "decision_threshold", split=split, n=counts.rows, status="not applicable", reason=reason
    )


def score_tables(counts: Mapping[str, ScoreCounts], settings: Settings, judged: str = "") -> dict[str, pa.Table]:
    """The evidence tables, by name. All but the counts are of the judged split."""
    mine = counts[judged]
    each = [mine.margin([name]) for name in mine.attributes]
    bands = bands_that_fit(mine)
    cells = cells_of(mine, full_collection(mine.attributes, settings), settings)
    return {
        "score_counts": counts_table(counts),
        "reliability": pa.concat_tables(
            reliability(part, bands, settings.confidence) for part in [mine.margin([]), *each]
        ),
        "score_curves": pa.concat_tables(_curves(part, settings) for part in [mine.margin([]), *each]),
        "multicalibration": cells.table(),
        "cross_auc": pa.concat_tables(_crossed(part, settings) for part in each),
    }


def counts_table(counts: Mapping[str, ScoreCounts]) -> pa.Table:
    """Score counts of several splits (name → counts) as one table, with a column `split`.

    >>> from auditkit.fairness.counting.counts import encode_groups
    >>> groups = encode_groups({"sex": pa.array(["f", "m"])}, "here")
    >>> made = counts_table({"test": ScoreCounts.tally(groups, np.array([True, False]), [0.9, 0.1])})
    >>> counts_from_table(made)["test"].rows
    2
    """
    tables = {split: part.to_table() for split, part in counts.items()}
    about = {split: json.loads(table.schema.metadata[_ONE]) for split, table in tables.items()}
    named = [
        table.replace_schema_metadata(None).add_column(0, "split", pa.array([split] * table.num_rows, pa.string()))
        for split, table in tables.items()
    ]
    return pa.concat_tables(named).replace_schema_metadata({_SPLITS: json.dumps(about).encode()})


def counts_from_table(table: pa.Table) -> dict[str, ScoreCounts]:
    """The inverse of `counts_table`. Raises InputError for a table that did not come from there."""
    about = (table.schema.metadata or {}).get(_SPLITS)
    if about is None or "split" not in table.column_names:
        raise InputError("this is no table of score counts by split; give one that `counts_table` made")
    found = {}
    for split, told in json.loads(about).items():
        part = table.filter(pc.equal(table["split"], split)).drop_columns(["split"])
        found[split] = ScoreCounts.from_table(part.replace_schema_metadata({_ONE: json.dumps(told).encode()}))
    return found


def _curves(counts: ScoreCounts, settings: Settings) -> pa.Table:
    """One record per group and threshold: attribute, group, threshold, and each rate, null over too few rows."""
    places = np.unique([*range(0, counts.bins + 1, _STEP), counts.bins])
    size = len(places)
    columns: dict[str, object] = {
        "attribute": pa.array([joined(counts.attributes)] * size * len(counts.groups), pa.string()),
        "group": pa.array([name for name in counts.names for _ in places], pa.string()),
        "threshold": np.tile(counts.edges[places], len(counts.groups)),
    }
    curves = decision_curves(counts)
    for name in SHOWN:
        successes, n = (part[:, places].ravel() for part in fraction_of(curves, RATES[name]))
        judged = n >= max(1, settings.minimum_group)
        columns[name] = pa.array(successes / np.maximum(n, 1), pa.float64(), mask=~judged)
    return pa.table(columns)


def _crossed(counts: ScoreCounts, settings: Settings) -> pa.Table:
    """One record per pair of groups that can be judged: attribute, positive, negative (the groups), auc."""
    needed = max(2, settings.minimum_group)
    areas, rows = cross_areas(counts), counts.cells.sum(axis=2)
    judged: Sequence[int] = np.flatnonzero((rows >= needed).all(axis=1)).tolist()
    pairs = [(i, j) for i in judged for j in judged]
    return pa.table(
        {
            "attribute": pa.array([joined(counts.attributes)] * len(pairs), pa.string()),
            "positive": pa.array([counts.names[i] for i, _ in pairs], pa.string()),
            "negative": pa.array([counts.names[j] for _, j in pairs], pa.string()),
            "auc": pa.array([float(areas[i, j]) for i, j in pairs], pa.float64()),
        }
    )
