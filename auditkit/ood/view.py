"""The discipline as sections: what is noticed, at what price in normal rows, who pays it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.ood import figures
from auditkit.theme import interval, number, probability

FUSED = "fused"
GOOD, POOR = 0.95, 0.7
"""areas from which a set counts as told apart, and below which it counts as not noticed"""

_SEPARATION_READING = (
    "A dot is the probability that a row of the set looks stranger to the detector than a test row; the line is its "
    "interval. 1 is perfect, 0.5 is chance; left of the dotted line the detector takes the set for more normal than "
    "normal rows."
)
_SEPARATION_HOW = (
    "All detectors read the same forward pass; nothing is run again. They are fitted on the training split and held "
    "against test rows. Areas are exact, with ties; intervals rest on DeLong's variance and keep a width at 1. "
    "“Passes” keeps 95 % of test rows and counts the set's rows that pass with them (fpr_at_95_id_tpr); “false alarms” "
    "catches 95 % of the set and counts the test rows caught with them (fpr_at_95_ood_tpr)."
)


def sections(evidence: Any) -> list[Section]:
    """The sections there is evidence for."""
    rows = select(evidence.rows, analysis="ood")
    if not rows:
        return []
    made = [_separation(evidence, rows), _spread(evidence, rows), _columns(evidence, rows), _groups(evidence, rows)]
    made += [_strangest(evidence), _detectors(evidence)]
    return [section for section in made if section is not None]


def _listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _titles(evidence: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Detector → title, and detector → what it reads; the fused score last."""
    table = evidence.table("ood/detectors")
    records = [] if table is None else table.to_pylist()
    titles = {record["detector"]: record["title"] for record in records} | {FUSED: "fused score"}
    return titles, {record["detector"]: record["sees"] for record in records} | {FUSED: "fused"}


def _shown(row: MetricRow) -> str:
    text = number(row.value, row.unit, row.lower, row.upper)
    return text if row.lower is None else f"{text} {interval(row.lower, row.upper, row.unit)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _sets(rows: Sequence[MetricRow]) -> list[str]:
    return list(dict.fromkeys(row.split for row in rows if row.metric == "auroc" and row.split))


def _separation(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    areas = select(rows, metric="auroc")
    if not areas:
        return None
    titles, sees = _titles(evidence)
    named = [row for row in areas if row.detail in titles]
    judged = [row for row in named if row.status == "ok"]
    if not judged:
        reason = next((row.reason for row in areas if row.status != "ok"), "nothing was measured")
        return Section("separation", "What is noticed", f"What the model notices is not known: {reason}.")
    return Section(
        key="separation",
        title="What is noticed",
        finding=" ".join(_set_finding(name, named, sees, titles) for name in _sets(rows)),
        figure=figures.separation(judged, sees, titles),
        reading=_SEPARATION_READING,
        table=_separation_table(rows, titles),
        how=_SEPARATION_HOW,
    )


def _set_finding(name: str, areas: Sequence[MetricRow], sees: dict[str, str], titles: dict[str, str]) -> str:
    """One sentence on a set: how well the best calibrated score notices it, and who calls it normal."""
    mine = [row for row in areas if row.split == name and row.status == "ok" and row.value is not None]
    if not mine:
        return f"{name}: not measured."
    fused = next((row for row in mine if row.detail == FUSED), None)
    best = max((row for row in mine if row.detail != FUSED), key=lambda row: row.value or 0.0, default=None)
    lead = fused or best
    assert lead is not None
    area = lead.value or 0.0
    how = "told apart" if area >= GOOD else "noticed in part" if area >= POOR else "hardly noticed"
    text = f"{name} is {how} by the {titles[lead.detail]} (AUROC {_shown(lead)})"
    inverted = [row.detail for row in mine if row.upper is not None and row.upper < 0.5]
    if inverted:
        logits = all(sees.get(detector) == "logits" for detector in inverted)
        kind = f"{'logit ' if logits else ''}detector{'s' if len(inverted) > 1 else ''}"
        verb = "call" if len(inverted) > 1 else "calls"
        listed = _listed([titles[detector] for detector in inverted])
        return f"{text}, but the {kind} {listed} {verb} its rows more normal than normal ones."
    if best is not None and fused is not None and (best.lower or 0) > (fused.upper or 1):
        return f"{text}, better by the {titles[best.detail]} alone ({_shown(best)})."
    return f"{text}."


def _separation_table(rows: Sequence[MetricRow], titles: dict[str, str]) -> pa.Table:
    found = {(row.split, row.detail, row.metric): row for row in rows}
    records = []
    for name in _sets(rows):
        for detector, title in titles.items():
            area = found.get((name, detector, "auroc"))
            if area is None:
                continue
            record = {"set": name, "detector": title}
            for metric, label in (
                ("auroc", "AUROC"),
                ("fpr_at_95_id_tpr", "passes"),
                ("fpr_at_95_ood_tpr", "false alarms"),
                ("detection_rate", "flagged"),
            ):
                row = found.get((name, detector, metric))
                record[label] = "–" if row is None else _shown(row)
            records.append(record | {"rows": number(area.n, "rows"), "note": area.reason})
    return pa.Table.from_pylist(records)


def _spread(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    flags = select(rows, metric=("id_flag_rate", "detection_rate"), detail=FUSED)
    threshold = _threshold(evidence, FUSED)
    if not flags or threshold is None:
        return None
    if threshold["status"] != "ok":
        return Section("flags", "What gets flagged", f"There is no fused score: {threshold['reason']}.")
    histogram = evidence.table("ood/histogram")
    test = next((row.split for row in flags if row.metric == "id_flag_rate"), "")
    shares = {row.split: number(row.value, row.unit, row.lower, row.upper) for row in flags}
    return Section(
        key="flags",
        title="What gets flagged",
        finding=_flag_finding(flags, threshold),
        figure=None if histogram is None else figures.spread(histogram, threshold["threshold"], shares, test),
        reading="Each panel is a set of rows, spread over the fused score; rows right of the dashed line are flagged.",
        table=_flag_table(select(rows, metric=("id_flag_rate", "detection_rate")), _titles(evidence)[0]),
        how=_fused_how(evidence, threshold),
    )


def _threshold(evidence: Any, detector: str) -> dict[str, Any] | None:
    table = evidence.table("ood/thresholds")
    records = [] if table is None else table.to_pylist()
    return next((record for record in records if record["detector"] == detector), None)


def _flag_finding(flags: Sequence[MetricRow], threshold: dict[str, Any]) -> str:
    normal = next((row for row in flags if row.metric == "id_flag_rate"), None)
    promised = f"made to flag at most {_percent(threshold['level'])} of normal rows"
    text = f"The threshold, {promised}, was not held against test rows"
    if normal is not None and normal.status == "ok":
        text = f"The threshold, {promised}, flags {_shown(normal)} of test"
        if (normal.lower or 0) > threshold["level"]:
            text += ", more than it promised"
    sets = [f"{_shown(row)} of {row.split}" for row in flags if row.metric == "detection_rate" and row.status == "ok"]
    return f"{text}; it flags {_listed(sets)}." if sets else f"{text}."


def _flag_table(rows: Sequence[MetricRow], titles: dict[str, str]) -> pa.Table:
    splits = list(dict.fromkeys(row.split for row in rows))
    found = {(row.detail, row.split): row for row in rows}
    records = []
    for detector, title in titles.items():
        mine = {split: found[detector, split] for split in splits if (detector, split) in found}
        if mine:
            texts = {f"{split} flagged": row.reason or _shown(row) for split, row in mine.items()}
            records.append({"detector": title} | texts)
    return pa.Table.from_pylist(records)


def _fused_how(evidence: Any, threshold: dict[str, Any]) -> str:
    table = evidence.table("ood/detectors")
    members = [] if table is None else [record["title"] for record in table.to_pylist() if record["in_fused"]]
    return (
        f"The fused score adds up the evidence of {_listed(members)} by Fisher's method over their conformal p-values; "
        "one half of the validation split calibrates these, the other half their combination, because the detectors "
        f"depend on one another. The threshold stands at rank {threshold['k']:,} of {threshold['n']:,} validation "
        f"scores: it flags at most {_percent(threshold['level'])} of rows like them with "
        f"{_percent(threshold['confidence'])} confidence, and {number(threshold['mean_rate'], 'rate')} on average."
        if members
        else "Thresholds are order statistics of the validation scores."
    )


def _columns(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    table = evidence.table("ood/columns")
    if table is None or table.num_rows == 0:
        return None
    records = table.to_pylist()
    test = next((row.split for row in rows if row.metric == "id_flag_rate"), "")
    order = [test, *_sets(rows)]
    splits = [name for name in order if any(record["split"] == name for record in records)]
    if not splits:
        return None
    first = {split: next(record for record in records if record["split"] == split) for split in splits}
    parts = [f"{first[split]['column']} ({number(first[split]['share'], 'rate')}) in {split}" for split in splits]
    shown = [
        {
            "set": record["split"],
            "column": record["column"],
            "flagged rows": number(record["rows"], "rows"),
            "share": number(record["share"], "rate"),
        }
        for split in splits
        for record in records
        if record["split"] == split
    ]
    return Section(
        key="columns",
        title="What makes rows strange",
        finding=f"Where a single value gives a row away, it is most often {_listed(parts)}.",
        figure=figures.blamed(table, test, _sets(rows)),
        reading="Of the rows flagged for their most unusual single value: how often it stood in this column.",
        table=pa.Table.from_pylist(shown),
        how="A number counts by its distance from the training mean in standard deviations, a category by how rare it "
        "was in training; the column with the largest counts for the row.",
    )


def _strangest(evidence: Any) -> Section | None:
    """The strangest texts of each split, where rows are texts."""
    table = evidence.table("ood/strangest")
    records = [] if table is None else table.to_pylist()
    if not records:
        return None
    first = records[0]
    shown = [
        {
            "set": record["split"],
            "row": number(record["row"], "rows"),
            "fused score": f"{record['fused']:.2f}",
            "p-value": probability(record["fused_p"]),
            "text": record["text"] if record["text"] is not None else "missing",
        }
        for record in records
    ]
    return Section(
        key="strangest",
        title="The strangest texts",
        finding=f"The strangest text of {first['split']} is its row {first['row']:,}, with a p-value of "
        f"{probability(first['fused_p'])}.",
        reading="Texts that are strange for a reason are worth a look in any split: another language, a broken "
        "export, an empty field.",
        table=pa.Table.from_pylist(shown),
        how="The largest fused scores of each split; the p-value is the share of normal rows that look at least as "
        "strange. Rows count from 0; long texts are cut.",
    )


def _groups(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    rates = select(rows, metric="group_flag_rate")
    threshold = _threshold(evidence, FUSED)
    if not rates or threshold is None or threshold["status"] != "ok":
        return None
    overall = next(iter(select(rows, metric="id_flag_rate", detail=FUSED)), None)
    gaps = select(rows, metric="flag_rate_difference")
    return Section(
        key="groups",
        title="Who gets flagged",
        finding=_group_finding(gaps),
        figure=figures.group_flags(rates, threshold["level"], overall.value if overall else None),
        reading="A dot is the share of a group's normal rows that is flagged, the line its interval (in brackets its "
        "rows); the dashed line is the promised level, the thin one the rate of all test rows. All groups should lie "
        "about there.",
        table=_group_table(rates, gaps),
        how="Flags of the fused score on test. Rates: Wilson's interval. Largest difference: bounds that hold for all "
        "pairs of groups together. Groups with too few rows are named and not judged.",
    )


def _group_finding(gaps: Sequence[MetricRow]) -> str:
    judged = [row for row in gaps if row.status == "ok"]
    if not judged:
        return "Whether some group is called strange more often is not known: its groups are too small to compare."
    widest = max(judged, key=lambda row: row.lower or 0.0)
    if not (widest.lower or 0) > 0:
        return "No group's normal rows are flagged more often than another's beyond what chance explains."
    high, _, low = widest.method.partition(";")[0].partition(" less ")
    return (
        f"Normal rows are not flagged alike: by {widest.attribute} the largest difference is {_shown(widest)}, "
        f"{high} over {low}."
    )


def _group_table(rates: Sequence[MetricRow], gaps: Sequence[MetricRow]) -> pa.Table:
    records = [
        {
            "attribute": row.attribute,
            "group": row.group or f"largest difference: {row.method.partition(';')[0]}",
            "flagged": number(row.value, row.unit, row.lower, row.upper),
            "interval": interval(row.lower, row.upper, row.unit),
            "rows": number(row.n, "rows"),
            "note": row.reason,
        }
        for row in (*rates, *gaps)
    ]
    order = list(dict.fromkeys(row.attribute for row in rates))
    return pa.Table.from_pylist(sorted(records, key=lambda record: order.index(record["attribute"])))


def _detectors(evidence: Any) -> Section | None:
    table = evidence.table("ood/detectors")
    if table is None or table.num_rows == 0:
        return None
    records = table.to_pylist()
    used = [record for record in records if record["status"] == "ok"]
    left = [f"{record['title']} ({record['reason']})" for record in records if record["status"] != "ok"]
    finding = f"{len(used)} detectors read the one forward pass"
    return Section(
        key="detectors",
        title="The detectors",
        finding=f"{finding}; not used: {'; '.join(left)}." if left else f"{finding}.",
        table=pa.Table.from_pylist([_detector_record(evidence, record) for record in records]),
        how="Thresholds are order statistics of validation scores, never of test. A condition number far above a "
        "million would say that a covariance is close to singular in spite of its shrinkage.",
    )


def _detector_record(evidence: Any, record: dict[str, Any]) -> dict[str, str]:
    threshold = _threshold(evidence, record["detector"]) or {"status": "", "reason": "", "threshold": None}
    facts = [
        f"{label} {number(record[name], unit)}"
        for name, label, unit in (
            ("neighbours", "k", "rows"),
            ("bank_rows", "bank rows", "rows"),
            ("shrinkage", "shrinkage", ""),
            ("condition_number", "condition number", "rows"),
            ("dead_units", "directions without spread", "rows"),
        )
        if record[name]
    ]
    return {
        "detector": record["title"],
        "reads": record["sees"],
        "fused": "yes" if record["in_fused"] else "",
        "threshold": number(threshold["threshold"]) if threshold["status"] == "ok" else threshold["reason"] or "–",
        "fit": ", ".join(facts) or record["reason"],
        "valid for": record["valid_for"],
        "source": record["source"],
    }
