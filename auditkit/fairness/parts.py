"""The parts of a check beyond rates and gaps: each where what it needs is given, the same for a table and an audit.

always               inequality of benefits
control columns      gaps among people alike in a legitimate factor
population shares    representation
features             missing values by group, where it is wrong (slices, error tree, heat map), consistency
scores of two sets   other thresholds: fitted on one set of rows, judged on the other

These parts take rows as drawn one by one. Where rows are weighted or come from strata or clusters, they are left out
and a caveat says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.columns import Column
from auditkit.fairness.counting.counts import Counts, GroupCodes, encode_groups
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.spec import Gate

Shares = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Rows:
    """The rows of a check. truth, decision: bool [n]; sensitive, control, features: columns [n] by name.

    plain: whether every row was drawn by itself and weighs the same.
    """

    groups: GroupCodes
    truth: npt.NDArray[np.bool_]
    decision: npt.NDArray[np.bool_]
    sensitive: Mapping[str, Column]
    control: Mapping[str, Column] = field(default_factory=dict)
    features: Mapping[str, Column] = field(default_factory=dict)
    plain: bool = True


def parts_of(rows: Rows, counts: Counts, settings: Settings, population: Shares, split: str = "") -> Iterator[Findings]:
    """What is found of rows besides their rates and gaps. population: attribute → group → its share.

    Raises InputError for control columns and shares that cannot be used.
    """
    if not rows.plain:
        yield _left_out(population, split, bool(rows.control), bool(rows.features))
        return
    yield from counts_parts(counts, settings, population, split)
    for name, column in rows.control.items():
        from auditkit.fairness.conditional.findings import conditional_findings

        codes = encode_groups({**rows.sensitive, name: column}, f"control column {name!r}")
        yield conditional_findings(Counts.tally(codes, rows.truth, rows.decision), name, settings, split)
    if rows.features:
        yield from _of_features(rows, settings, split)


def counts_parts(counts: Counts, settings: Settings, population: Shares, split: str = "") -> Iterator[Findings]:
    """The parts that counts are enough for."""
    if counts.weights is not None:
        yield _left_out(population, split)
        return
    from auditkit.fairness.individual.inequality import inequality_findings

    yield inequality_findings(counts, settings, split)
    if population:
        from auditkit.fairness.population.representation import representation_findings

        yield representation_findings(counts, population, settings, split)


def _of_features(rows: Rows, settings: Settings, split: str) -> Iterator[Findings]:
    from auditkit.fairness.individual.consistency import consistency_findings
    from auditkit.fairness.population.missingness import missingness_findings
    from auditkit.fairness.slices.findings import error_analysis_findings

    columns = {name: _whole(column) for name, column in rows.features.items()}
    yield missingness_findings(rows.groups, pa.table(columns), settings, split)
    everything = {**columns, **{name: _whole(column) for name, column in rows.sensitive.items()}}
    yield error_analysis_findings(
        everything,
        (rows.truth != rows.decision).astype(np.float64),
        seed=settings.seed[0],
        confidence=settings.confidence,
        minimum_group=settings.minimum_group,
        split=split,
    )
    yield in_split(consistency_findings(columns, rows.decision, rows.groups, settings), split)


def scores_parts(
    binned: ScoreCounts, counts: Counts, settings: Settings, gates: Mapping[str, Sequence[Gate]]
) -> Iterator[Findings]:
    """What scores add where there is one set of rows: other thresholds are fitted on a half and judged on the other."""
    from auditkit.fairness.mitigation.held_out import halves
    from auditkit.fairness.scores.evidence import score_metrics

    found = score_metrics(binned, counts, settings)
    yield Findings(metrics=found)
    yield thresholds_part(*halves(binned, settings.seed), found, settings, gates)


def thresholds_part(
    fit: ScoreCounts,
    held_out: ScoreCounts,
    found: Sequence[MetricRow],
    settings: Settings,
    gates: Mapping[str, Sequence[Gate]],
    split: str = "",
) -> Findings:
    """Other thresholds than today's. fit, held_out: score counts of different rows. found: the scores' metric rows, of
    which `decision_threshold` tells from which score on decisions are positive."""
    from auditkit.fairness.mitigation.findings import mitigation_findings

    today = next((row for row in found if row.metric == "decision_threshold"), None)
    if today is None or today.value is None:
        why = "today's decisions do not follow from one threshold of the scores" if today is None else today.reason
        text = f"no other thresholds were looked for: {why}"
        return Findings(caveats=[Caveat("fairness", text, "fairness/frontier", "note")])
    return mitigation_findings(fit, held_out, today.value, settings, gates, split)


def in_split(found: Findings, split: str) -> Findings:
    """Findings whose rows name the split they are of."""
    return Findings([replace(row, split=split) for row in found.metrics], found.tables, found.caveats)


def _whole(column: Column) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _left_out(population: Shares, split: str, control: bool = False, features: bool = False) -> Findings:
    asked = {
        "inequality of benefits": True,
        "conditional gaps": control,
        "representation": bool(population),
        "missing values, error analysis and consistency": features,
    }
    names = ", ".join(name for name, there in asked.items() if there)
    on = f"split {split}: " if split else ""
    text = f"{on}rows are weighted or drawn from strata or clusters, which these parts cannot keep: {names} left out"
    return Findings(caveats=[Caveat("fairness", text, "fairness", "warning" if sum(asked.values()) > 1 else "note")])


def check_lengths(columns: Mapping[str, Column | None], rows: int, where: str, label: str) -> None:
    """Raise InputError for a column of another length than the labels."""
    for name, column in columns.items():
        if column is not None and len(column) != rows:
            raise InputError(f"{where}: {name} has {len(column):,} rows, {label} {rows:,}; give one value for each row")
