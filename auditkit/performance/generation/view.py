"""What a model makes as sections: copies, generated rows, and how long a policy lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section
from auditkit.performance.generation import figures
from auditkit.theme import interval, number

SHOWN_COLUMNS = 5


def made_sections(evidence: Any, rows: Sequence[MetricRow]) -> list[Section]:
    """The sections there is evidence for. rows: those of the performance discipline."""
    found = [_errors(evidence, rows), _copies(evidence, rows), _columns(evidence, rows)]
    found += [_generated(evidence, rows), _coverage(rows), _returns(evidence, rows)]
    return [section for section in found if section is not None]


def _said(row: MetricRow) -> str:
    text = number(row.value, row.unit, row.lower, row.upper)
    return text if row.lower is None else f"{text} {interval(row.lower, row.upper, row.unit)}"


def _one(rows: Sequence[MetricRow], metric: str, **where: str) -> MetricRow | None:
    return next((row for row in select(rows, metric=metric, **where) if row.status == "ok"), None)


def _unusual(evidence: Any) -> str:
    """The class that is not in training: the other one of two."""
    usual = {row.detail for row in select(evidence.rows, metric="reconstruction_error", split="train")}
    return next((str(name) for name in evidence.info["schema"]["classes"] if name not in usual), "")


def _errors(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    histogram, threshold = evidence.table("performance/reconstruction_errors"), _one(rows, "error_threshold")
    if histogram is None or threshold is None:
        return None
    unusual = _unusual(evidence)
    found = [row for row in select(rows, metric="class_recall", split="test") if row.status == "ok"]
    shares = {row.detail: row for row in found}
    text = "There are no unusual rows in test, so whether it notices any is not known."
    if unusual in shares:
        alarms = [
            f"it calls {_wrong(row)} of those that are {name} so too" for name, row in shares.items() if name != unusual
        ]
        text = (
            f"It notices {_said(shares[unusual])} of the {unusual} rows of test"
            + "".join(f"; {a}" for a in alarms)
            + "."
        )
    mean = [row for row in select(rows, metric="reconstruction_error") if row.status == "ok"]
    table = [
        {
            "split": row.split,
            "class": row.detail,
            "mean error": number(row.value, row.unit, row.lower, row.upper),
            "interval": interval(row.lower, row.upper, row.unit),
            "rows": number(row.n, "rows"),
        }
        for row in mean
    ]
    return Section(
        key="copies",
        title="What it cannot copy",
        finding=text,
        figure=figures.errors(histogram, threshold.value, unusual),
        reading="The further right a row lies, the worse its copy; right of the threshold it is called unusual. Blue "
        "are rows of the class it was trained on.",
        table=pa.Table.from_pylist(table) if table else None,
        how=f"The threshold, {number(threshold.value)}, is {threshold.method}. Its probability of a row is 50 % there "
        "and 5 % at the median validation row; no unusual row has calibrated it.",
    )


def _wrong(row: MetricRow) -> str:
    """One minus a recall."""
    value, lower, upper = (None if edge is None else 1 - edge for edge in (row.value, row.upper, row.lower))
    return f"{number(value, 'rate', lower, upper)} {interval(lower, upper, 'rate')}"


def _copies(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    table = evidence.table("performance/reconstructions")
    if table is None:
        return None
    unusual = _unusual(evidence)
    how = "Of each class, rows evenly spread from the smallest error to the largest."
    if "pixels" in table.column_names:
        return Section(
            key="beside-copies",
            title="Rows beside their copies",
            finding="Where copy and row differ is where a row is unlike those it was trained on.",
            figure=figures.copies(table, unusual),
            reading="Each column is a row of test: the picture, its copy, and the error of each pixel, dark where it "
            "is largest; below, the error of the row.",
            how=f"{how} Pixel errors of all rows share one scale.",
        )
    lines = []
    every = table.to_pylist()
    for row in dict.fromkeys((line["error"], line["row"]) for line in every):
        mine = sorted((line for line in every if line["row"] == row[1]), key=lambda line: -line["column_error"])
        worst = [f"{line['column']}: {line['value']} (copied as {line['copy']})" for line in mine[:SHOWN_COLUMNS]]
        lines.append({"class": mine[0]["class"], "error": number(row[0]), "copied worst": "; ".join(worst)})
    worst = lines[-1]["copied worst"].split("; ")[0]
    return Section(
        key="beside-copies",
        title="Rows beside their copies",
        finding=f"Of the row it copies worst, most of the error is in {worst}.",
        table=pa.Table.from_pylist(lines),
        how=f"{how} Of each the {SHOWN_COLUMNS} columns with the largest error, as they are and as they were copied.",
    )


def _columns(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    table = evidence.table("performance/column_errors")
    if table is None:
        return None
    unusual = _unusual(evidence)
    lines = [line for line in table.to_pylist() if line["class"] == unusual] or table.to_pylist()
    worst = max(lines, key=lambda line: line["error"])
    return Section(
        key="columns",
        title="Which columns it copies badly",
        finding=f"The column copied worst in {worst['class']} rows is {worst['column']}: {number(worst['error'])}.",
        figure=figures.column_errors(table, unusual),
        reading="Where the orange bar is longer than the blue one, unusual rows give themselves away.",
        how="Mean error over test rows of each class, at most 5,000 of each.",
    )


def _generated(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    share = _one(rows, "memorised_share", detail="pixels")
    chance, nearer = (
        _one(rows, f"{name}", detail="pixels") for name in ("memorised_share_by_chance", "nearer_than_held_out")
    )
    if share is None or chance is None or nearer is None:
        return None
    table = evidence.table("performance/generated")
    copied = (share.lower or 0.0) > (chance.upper or 1.0)
    text = (
        f"{_said(share)} of its rows lie nearer to a training row than all but the nearest hundredth of real new rows; "
        f"chance alone would show {interval(chance.lower, chance.upper, 'rate')}"
    )
    text += ": it copies training rows." if copied else ", so copying cannot be seen."
    if (nearer.upper or 1.0) < 0.5:
        text += " On the whole its rows lie further from training rows than real new ones do."
    names = {
        "memorised_share": "nearer than the nearest hundredth",
        "memorised_share_by_chance": "the same, by chance alone",
        "nearer_than_held_out": "probability of lying nearer than a real new row",
        "generated_precision": "precision",
        "generated_precision_of_held_out": "precision of real new rows",
        "generated_recall": "recall",
        "generated_recall_of_held_out": "recall of real new rows",
        "taken_for_real": "taken for real by the discriminator",
    }
    shown = [row for name in names for row in select(rows, metric=name)]
    lines = [
        {
            "figure": names[row.metric],
            "measured in": row.detail,
            "value": number(row.value, row.unit, row.lower, row.upper),
            "interval": interval(row.lower, row.upper, row.unit),
            "rows": number(row.n, "rows"),
        }
        for row in shown
    ]
    return Section(
        key="generated",
        title="What it generates, and whether it copies",
        finding=text,
        figure=figures.generated(table) if table is not None else None,
        reading="Each generated picture above the training row nearest to it, with their distance: copies would be "
        "alike. The pictures are the first it made, not the best.",
        table=pa.Table.from_pylist(lines),
        how="Distances are Euclidean, between scaled pixels and between penultimate features of the discriminator. "
        "Precision is the share of generated rows within reach of real ones, recall the share of real rows within "
        "reach of generated ones (Kynkäänniemi et al. 2019). Real new rows are those of test.",
    )


def _coverage(rows: Sequence[MetricRow]) -> Section | None:
    covered = next(iter(select(rows, metric="modes_covered")), None)
    if covered is None:
        return None
    if covered.status != "ok":
        return Section("modes", "Which kinds it makes", f"Not known: {covered.reason}.")
    kinds, right = select(rows, metric="mode_share"), _one(rows, "mode_accuracy")
    missing = covered.method.removeprefix("missing: ") if covered.method.startswith("missing: ") else ""
    text = (
        f"It has forgotten {missing}." if missing else f"It makes all {len(kinds)} kinds of rows there are in training."
    )
    table = [
        {
            "kind": row.detail,
            "share": number(row.value, "rate", row.lower, row.upper),
            "interval": interval(row.lower, row.upper, "rate"),
            "in training": row.method.partition("of which ")[2].partition(" are")[0],
        }
        for row in kinds
    ]
    sure = f" These neighbours are right about {_said(right)} of real new rows." if right is not None else ""
    return Section(
        key="modes",
        title="Which kinds it makes",
        finding=text,
        figure=figures.shares(kinds),
        reading="A kind whose dot lies near zero has been forgotten.",
        table=pa.Table.from_pylist(table),
        how="A generated row is given the kind of most of its five nearest training rows; a kind is missing where the "
        f"upper limit of its share lies below a fifth of that in training.{sure}",
    )


def _returns(evidence: Any, rows: Sequence[MetricRow]) -> Section | None:
    found = select(rows, metric="mean_return")
    if not found:
        return None
    table = evidence.table("performance/returns")
    if found[0].status != "ok" or table is None:
        return Section("returns", "How long it lasts", f"Not known: {found[0].reason}.")
    reference = {row.detail: row for row in select(rows, metric="mean_return_of_reference")}
    first = found[0]
    theirs = _said(reference[first.detail])
    text = f"In the task it was trained for it lasts {_said(first)}, the reference controller {theirs}"
    others = [f"{_said(row)} with a {row.detail.replace('_', ' ')}" for row in found[1:]]
    lines = [
        {"world": row.detail.replace("_", " "), "policy": _said(row), "reference": _said(reference[row.detail])}
        for row in found
    ]
    return Section(
        key="returns",
        title="How long it lasts",
        finding=text + "".join(f"; {other}" for other in others) + ".",
        figure=figures.returns(table),
        reading="Each dot is an episode; further right is better.",
        table=pa.Table.from_pylist(lines),
        how=f"Mean {first.method}.",
    )
