"""Scores as sections: what a smaller gap costs, rates against threshold, reliability by group."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section
from auditkit.fairness.definitions import GAPS
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.calibration import reliability
from auditkit.fairness.scores.figures import frontier_figure, rates_figure, reliability_figure
from auditkit.fairness.scores.thresholds import Frontier, rate_curves
from auditkit.theme import number


def score_sections(
    counts: ScoreCounts,
    found: Frontier | None = None,
    held_out: Sequence[tuple[MetricRow, MetricRow]] = (),
    threshold: float = 0.5,
) -> list[Section]:
    """The sections of one attribute's score counts. held_out: (gap, accuracy) of some of its policies."""
    curves = {name: values.tolist() for name, values in rate_curves(counts).items()}
    made = [
        Section(
            key="score-thresholds",
            title="Rates against threshold",
            finding=f"Today's threshold is {threshold:g} for all groups.",
            figure=rates_figure(curves, counts.names, counts.edges.tolist(), threshold),
            reading="Each line is a group's rate if all groups had that threshold; the dotted line is today's.",
            how="Cumulative sums of rows by group, label and score bin.",
        ),
        Section(
            key="score-reliability",
            title="Calibration within groups",
            finding="On the dotted line a score means what it says; above it a group is scored too low.",
            figure=reliability_figure(reliability(counts)),
            reading="Each dot is a band of the score, the line through it Wilson's interval.",
            how="Share of positives against mean score in ten equally wide bands.",
        ),
    ]
    return made if found is None else [_frontier(found, held_out), *made]


def _frontier(found: Frontier, held_out: Sequence[tuple[MetricRow, MetricRow]]) -> Section:
    title = GAPS[found.metric].title
    left_out = f" Not judged: {', '.join(found.unjudged)}." if found.unjudged else ""
    shown = (found.today, *found.choices[:: max(1, len(found.choices) // 10)])
    return Section(
        key="score-frontier",
        title=f"What a smaller {title} costs",
        finding=(
            f"With one threshold for all, the {title} is {number(found.today.gap, 'points')} at an accuracy of "
            f"{number(found.today.accuracy, 'rate')}.{left_out}"
        ),
        figure=frontier_figure(found, held_out),
        reading="The line is the best accuracy that one threshold per group reaches at a gap; the diamond is today.",
        table=pa.table(
            {
                "policy": ["today", *(f"gap up to {number(choice.limit, 'points')}" for choice in shown[1:])],
                "gap": [number(choice.gap, "points") for choice in shown],
                "accuracy": [number(choice.accuracy, "rate") for choice in shown],
                "people gaining": [number(sum(choice.gained), "rows") for choice in shown],
                "people losing": [number(sum(choice.lost), "rows") for choice in shown],
            }
        ),
        how=(
            "Deterministic thresholds by group, found from score counts. What a gap costs is no advice to use "
            "different thresholds: where decisions about people are concerned that may be unlawful."
        ),
    )
