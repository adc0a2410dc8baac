"""Predicted numbers as sections: gaps between groups, numbers by group, where predictions lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section, matching
from auditkit.fairness.counting.counts import JOIN
from auditkit.fairness.outcomes.group_figures import dots_by_group, prediction_spread
from auditkit.fairness.outcomes.measures import MEASURES
from auditkit.fairness.outcomes.regression import DISTANCES
from auditkit.fairness.sentences import NOT_JUDGED, shown
from auditkit.theme import number, probability

GAPS = {
    **{f"{measure.name}_{kind}": f"{measure.title} {kind}" for measure in MEASURES.values() for kind in measure.gaps},
    **DISTANCES,
}
_GAPS_HOW = (
    "A gap is the largest difference, or the smallest ratio, between any two groups. Its interval holds for all pairs "
    "of groups at once (Games and Howell's comparison: every group has its own spread and degrees of freedom), so that "
    "it reaches equality where groups are alike. Noise alone keeps the distance of two distributions above zero: read "
    "it beside what chance would give; its interval follows from the triangle inequality and resampling."
)
_NUMBERS_HOW = (
    "Means take Student's t; errors are judged on the logarithmic scale, RMSE and R² by the delta method with fourth "
    "moments, so that no normal errors are assumed. R² is taken within each group, against the group's own mean."
)


def regression_sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for: none where nothing was predicted as a number."""
    rows = [row for row in evidence.rows if row.analysis == "fairness"]
    gaps = [row for row in rows if row.metric in GAPS]
    if not any(row.metric == "mean_prediction_difference" for row in gaps):
        return []
    attributes = list(dict.fromkeys(row.attribute for row in gaps))
    made = [_gaps(gaps, attributes, evidence.table("fairness/regression_distances"))]
    quantiles = evidence.table("fairness/regression_quantiles")
    for at, attribute in enumerate(name for name in attributes if JOIN not in name):
        made.append(_numbers(rows, attribute, at))
        spread = [] if quantiles is None else matching(quantiles, attribute=attribute)
        if spread:
            made.append(_spread(gaps, attribute, spread, at))
    return made


def _gaps(gaps: Sequence[MetricRow], attributes: Sequence[str], distances: pa.Table | None) -> Section:
    chance = {(line["attribute"], line["metric"]): line for line in distances.to_pylist()} if distances else {}
    records = []
    for row in sorted(gaps, key=lambda row: (attributes.index(row.attribute), list(GAPS).index(row.metric))):
        beside = chance.get((row.attribute, row.metric))
        records.append(
            {
                "by": row.attribute,
                "gap": GAPS[row.metric],
                "largest, or smallest ratio": shown(row),
                "between": row.detail or (row.reason if row.status != "ok" else ""),
                "by chance alone": "" if beside is None else f"{number(beside['by_chance'], row.unit)}",
                "p": "" if beside is None else probability(beside["p_value"]),
                "not judged": ", ".join(row.unjudged),
            }
        )
    return Section(
        key="regression-gaps",
        title="Gaps in predicted numbers",
        finding=" ".join(_finding(gaps, attribute) for attribute in attributes if JOIN not in attribute),
        table=pa.Table.from_pylist(records),
        how=_GAPS_HOW,
    )


def _finding(gaps: Sequence[MetricRow], attribute: str) -> str:
    mine = {row.metric: row for row in gaps if row.attribute == attribute}
    mean, bias = mine["mean_prediction_difference"], mine["mean_error_difference"]
    if mean.status != "ok":
        return f"By {attribute}, predictions were not compared: {mean.reason}."
    sure = "" if (mean.lower or 0) > 0 else ", which chance alone could give"
    text = f"By {attribute}, mean predictions lie {shown(mean)} apart ({mean.detail}){sure}"
    if bias.status == "ok":
        sure = "" if (bias.lower or 0) > 0 else ", which chance alone could give"
        text += f"; mean errors {shown(bias)} ({bias.detail}){sure}"
    return f"{text}."


def _numbers(rows: Sequence[MetricRow], attribute: str, at: int) -> Section:
    panels = {measure.name: measure.title for measure in MEASURES.values()}
    mine = [row for row in rows if row.metric in panels and row.attribute == attribute and row.group]
    sizes = {row.group: row.n or 0 for row in mine}
    everybody = {row.metric: row.value for row in rows if row.metric in panels and not row.attribute}
    references = {name: value for name, value in everybody.items() if value is not None}
    named = {(row.group, row.metric): row for row in mine}
    table = [
        {"group": group, "rows": number(n, "rows"),
         **{title: _cell(named.get((group, name))) for name, title in panels.items()}}
        for group, n in sizes.items()
    ]  # fmt: skip
    judged = [row for row in mine if row.metric == "mean_absolute_error" and row.status == "ok"]
    finding = f"By {attribute}, no group could be judged."
    if judged:
        best, worst = (choose(judged, key=lambda row: row.value or 0.0) for choose in (min, max))
        finding = (
            f"By {attribute}, predictions are furthest off for {worst.group} (mean absolute error {shown(worst)}) and "
            f"nearest for {best.group} ({shown(best)})."
        )
    return Section(
        key=f"regression-numbers-{at}",
        title=f"Predictions and errors by {attribute}",
        finding=finding,
        figure=dots_by_group(mine, panels, sizes, references, "Predictions and errors by group"),
        reading="Each dot is a group's number, the line through it its interval, the dotted line that of everybody. "
        "Behind a group's name stands how many rows it has.",
        table=pa.Table.from_pylist(table),
        how=_NUMBERS_HOW,
    )


def _spread(gaps: Sequence[MetricRow], attribute: str, records: list[dict[str, Any]], at: int) -> Section:
    far = next((r for r in gaps if r.metric == "prediction_wasserstein_distance" and r.attribute == attribute), None)
    finding = f"Where the predictions of each group of {attribute} lie."
    if far is not None and far.status == "ok":
        finding = f"The predictions of two groups would have to move by up to {shown(far)} to be alike ({far.detail})."
    return Section(
        key=f"regression-predictions-{at}",
        title=f"Where predictions lie, by {attribute}",
        finding=finding,
        figure=prediction_spread(records),
        reading="The dot is a group's median prediction, the thick line its middle half, the thin line 5 to 95 %.",
        how="Quantiles of the predictions; the distance is Wasserstein's of order 1, the area between two groups' "
        "cumulative shares.",
    )


def _cell(row: MetricRow | None) -> str:
    return NOT_JUDGED if row is None else shown(row)
