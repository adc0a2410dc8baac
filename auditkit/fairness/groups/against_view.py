"""The worst group of each rate, and how far it is from everybody, as a section. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.sentences import shown

_WORST = {"accuracy": "min", "true_positive_rate": "min", "false_positive_rate": "max", "precision": "min"}
_FAMILIES = {"accuracy": "accuracy", "equal_opportunity": "true_positive_rate",
             "predictive_equality": "false_positive_rate", "predictive_parity": "precision"}  # fmt: skip


def against_section(rows: Sequence[MetricRow], attributes: Sequence[str]) -> Section | None:
    """The section, where the rows hold the extremes. attributes: those that are not combinations of others."""
    family_of = {rate: family for family, rate in _FAMILIES.items()}
    records, findings = [], []
    for attribute in attributes:
        mine = [row for row in rows if row.attribute == attribute]
        for rate, end in _WORST.items():
            worst = select(mine, metric=f"{rate}_group_{end}")
            if not worst:
                continue
            gap = f"{family_of[rate]}_difference"
            far = {other: select(mine, metric=f"{gap}_to_{other}") for other in ("overall", "reference")}
            record = {
                "by": attribute,
                "rate": RATES[rate].title,
                "worst group": worst[0].detail or "not judged",
                "its rate": shown(worst[0]),
                "farthest from everybody": _told(far["overall"]),
            }
            if any(row.metric.endswith("_to_reference") for row in rows):
                record["farthest from the reference group"] = _told(far["reference"])
            records.append(record)
            if rate == "accuracy" and worst[0].status == "ok":
                findings.append(f"{worst[0].detail} by {attribute} ({shown(worst[0])})")
    if not records:
        return None
    return Section(
        key="worst-group",
        title="The worst group of each rate",
        finding=f"Accuracy is lowest for {' and '.join(findings)}." if findings else "No group could be judged.",
        table=pa.Table.from_pylist(records),
        how="The lowest accuracy, true positive rate and precision and the highest false positive rate of any group; "
        "intervals hold for the worst of all groups together (Bonferroni). Everybody includes the group itself. Gates "
        "may name these numbers, such as accuracy_group_min or demographic_parity_difference_to_overall.",
    )


def _told(rows: Sequence[MetricRow]) -> str:
    return f"{rows[0].detail}: {shown(rows[0])}" if rows and rows[0].status == "ok" else "not judged"
