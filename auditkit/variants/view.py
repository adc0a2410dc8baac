"""The comparison as sections: the verdicts with every difference, all models side by side, what is won, who pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.section import Section, matching
from auditkit.variants.figures import forest_figure, groups_figure, tradeoff_figure

Line = dict[str, Any]
WORST = ("worst_group_accuracy", "worst_class_recall", "accuracy", "worst_group_mae", "mae")
"""What stands for the worst-off: the first of these that there is."""
MAIN = ("accuracy", "mae")
BY_GROUP = {"accuracy": ("accuracy", "true_positive_rate", "selection_rate"), "mae": ("mae", "mean_prediction")}
"""what is shown of each group, by what is shown of everybody"""
MOST_VARIANTS = 5
NEXT_TO_NOTHING = 1e-5
"""A change whose interval stays within this is shown as none."""
HOW_NUMBERS = (
    "Both models answer the same rows. Mean absolute error: the normal interval of row differences. OOD areas: "
    "DeLong's variance of two correlated areas. R², worst groups and gaps: both models on the same resampled rows, "
    "bias-corrected percentiles. Worse or better beyond chance is said after Holm's adjustment over all figures and "
    "groups of a variant; intervals are each their own. Errors and gaps are in the label's unit."
)
HOW = (
    "Both models answer the same rows. Shares: Tango's score interval with the exact McNemar test. Log loss: the "
    "normal interval of row differences. OOD areas: DeLong's variance of two correlated areas. Worst groups, gaps and "
    "calibration: both models on the same resampled rows, bias-corrected percentiles. Worse or better beyond chance "
    "is said after Holm's adjustment over all figures and groups of a variant; intervals are each their own."
)


def sections(evidence: Any) -> list[Section]:
    """The sections of a comparison; none where the evidence holds none."""
    models, differences = evidence.table("variants/models"), evidence.table("variants/differences")
    if models is None or differences is None:
        return []
    lines, named = differences.to_pylist(), models.to_pylist()
    return [
        _verdicts(named, lines),
        _side_by_side(named, lines, evidence.rows),
        *_won(named, lines, evidence.rows),
        *_who(named, lines, evidence.table("variants/churn")),
    ]


def headline(lines: Sequence[Line]) -> list[tuple[str, str, list[Line]]]:
    """(title, unit of the change, its lines) of every figure over all rows that is judged."""
    panels: dict[str, tuple[str, str, list[Line]]] = {}
    for line in lines:
        if line["family"] and not line["attribute"]:
            title = line["title"] + (f", {line['split']}" if line["split"] else "")
            panels.setdefault(title, (title, line["change_unit"], []))[2].append(line)
    return list(panels.values())


def side_by_side(
    models: Sequence[Line], lines: Sequence[Line], rows: Sequence[MetricRow], intervals: bool = True
) -> pa.Table:
    """One line per figure, one column per model: its value and, for a variant, the change with its paired interval.

    Without intervals, a mark in their place where the change is beyond chance.
    """
    shown = _cell if intervals else _marked
    names = [model["name"] for model in models]
    records: list[dict[str, str]] = []
    for title, unit, mine in headline(lines):
        by_variant = {line["variant"]: line for line in mine}
        first = mine[0]
        records.append(
            {"figure": title, names[0]: theme.number(first["original"], first["unit"], *_around(first, "original"))}
            | {name: shown(by_variant[name], unit) if name in by_variant else theme.NO_VALUE for name in names[1:]}
        )
    records += [
        {"figure": title, **cells}
        for title, said in (
            ("worst group", lambda model: model["worst_group"] or theme.NO_VALUE),
            ("parameters", lambda model: theme.number(model["parameters"], "rows")),
            ("of these zero", lambda model: theme.number(model["zeros"], "rows")),
            ("bytes on disk", lambda model: theme.number(model["bytes"], "rows")),
            ("bytes compressed", lambda model: theme.number(model["compressed_bytes"], "rows")),
        )
        if {*(cells := {model["name"]: said(model) for model in models}).values()} != {theme.NO_VALUE}
    ]
    for title, metric, ratio, ending in (
        ("latency, one row", "latency_ms_per_row", "latency_ratio", " · batch 1"),
        ("latency a row, 256 at once", "latency_ms_per_row", "latency_ratio", " · batch 256"),
        ("energy of 1,000 rows", "joules_per_1000_rows", "energy_ratio", ""),
    ):
        cells = {name: _measured(rows, metric, ratio, name + ending) for name in names}
        if not intervals:
            cells = {name: cell.partition(" [")[0].partition(" (")[0] for name, cell in cells.items()}
        if any(cell != theme.NO_VALUE for cell in cells.values()):
            records.append({"figure": title, **cells})
    return pa.Table.from_pylist(records)


def _around(line: Line, of: str) -> tuple[float, float]:
    """Ends as far apart as the change's interval: how many digits of a value are worth showing."""
    half = max((line["upper"] - line["lower"]) / 2, 1e-4)
    return line[of] - half, line[of] + half


def _cell(line: Line, unit: str) -> str:
    value = theme.number(line["value"], line["unit"], *_around(line, "value"))
    return f"{value} ({_signed(line, unit)})"


def _next_to_nothing(lines: Sequence[Line]) -> bool:
    return max(max(-line["lower"], line["upper"]) for line in lines) < NEXT_TO_NOTHING


def _marked(line: Line, unit: str) -> str:
    mark = {"worse": " ↓", "better": " ↑"}.get(line["judged"], "")
    return theme.number(line["value"], line["unit"], *_around(line, "value")) + mark


def _signed(line: Line, unit: str) -> str:
    if line["change"] == line["lower"] == line["upper"] == 0:
        return "0"
    if max(-line["lower"], line["upper"]) < NEXT_TO_NOTHING:
        return "≈ 0"
    sign = "+" if line["change"] > 0 else ""
    change = theme.number(line["change"], unit, line["lower"], line["upper"])
    return f"{sign}{change} {theme.interval(line['lower'], line['upper'], unit)}"


def _measured(rows: Sequence[MetricRow], metric: str, ratio: str, detail: str) -> str:
    found = {row.metric: row for row in rows if row.analysis == "variants" and row.detail == detail}
    if metric not in found or found[metric].status != "ok":
        return theme.NO_VALUE
    row = found[metric]
    if ratio not in found:
        return f"{theme.number(row.value, row.unit)} {theme.interval(row.lower, row.upper)}"
    times = found[ratio]
    text = f"{theme.number(times.value, '', times.lower, times.upper)}× {theme.interval(times.lower, times.upper)}"
    return f"{theme.number(row.value, row.unit)} ({text})"


def _verdicts(models: Sequence[Line], lines: Sequence[Line]) -> Section:
    variants = [model for model in models if model["sentence"]]
    names = [model["name"] for model in variants]
    worse = [name for name in names if any(line["judged"] == "worse" for line in lines if line["variant"] == name)]
    if len(variants) == 1:
        finding = variants[0]["sentence"]
    elif worse:
        finding = (
            f"{len(worse)} of {len(names)} variants are worse than the original beyond chance: {', '.join(worse)}."
        )
    else:
        finding = f"None of {len(names)} variants is worse than the original beyond chance in any figure or group."
    return Section(
        "verdicts",
        "What each variant costs",
        finding,
        forest_figure([panel for panel in headline(lines) if not _next_to_nothing(panel[2])], names),
        "Each dot is a variant's figure minus the original's on the same rows, with its 95 % interval; the dotted line "
        "is no change. Filled dots are beyond chance after adjustment for all that was looked at. What no variant "
        "changes is left out.",
        pa.table({"variant": names, "verdict": [model["sentence"] for model in variants]}),
        HOW_NUMBERS if _main(lines)["metric"] == "mae" else HOW,
    )


def _main(lines: Sequence[Line]) -> Line:
    """Accuracy, or of numbers the mean absolute error, over all rows: where it changed for the worse most."""
    mine = [line for line in lines if line["metric"] in MAIN and not line["attribute"]]
    return max(mine, key=lambda line: line["change"] * (-1 if line["better"] == "higher" else 1))


def _side_by_side(models: Sequence[Line], lines: Sequence[Line], rows: Sequence[MetricRow]) -> Section:
    low = _main(lines)
    title, way = low["title"], "lowest" if low["better"] == "higher" else "highest"
    finding = (
        f"{title[0].upper()}{title[1:]} is {theme.number(low['original'], low['unit'], *_around(low, 'original'))} for "
        f"the original, and {way} for {low['variant']}: {_cell(low, low['change_unit'])}."
    )
    return Section(
        "side-by-side",
        "Side by side",
        finding,
        table=side_by_side(models, lines, rows),
        how="In parentheses: the change to the original with its paired 95 % interval; for latency and energy the "
        "ratio to the original. Bytes are of a safetensors file, compressed by zlib. Latency: median of blocks in "
        "which all models take turns. Energy: see the caveats on its source; in ratios the gauge cancels.",
    )


def _won(models: Sequence[Line], lines: Sequence[Line], rows: Sequence[MetricRow]) -> Iterator[Section]:
    metric = next(name for name in WORST if any(line["metric"] == name for line in lines))
    change = {line["variant"]: line for line in lines if line["metric"] == metric and not line["attribute"]}
    first = models[0]
    panels = []
    for title, key in (
        ("bytes on disk, of the original's", "bytes"),
        ("compressed, of the original's", "compressed_bytes"),
    ):
        found = [change[m["name"]] | {"ratio": m[key] / first[key]} for m in models if m["name"] in change]
        panels.append((title, found))
    latency = {row.detail: row.value for row in rows if row.name == "variants/latency_ratio"}
    if latency:
        found = [
            change[name] | {"ratio": latency[f"{name} · batch 1"]} for name in change if f"{name} · batch 1" in latency
        ]
        panels.append(("latency of one row, of the original's", found))
    smallest = min((m for m in models if m["name"] in change), key=lambda m: m["compressed_bytes"])
    lost = change[smallest["name"]]
    title, size = lost["title"], smallest["compressed_bytes"] / first["compressed_bytes"]
    finding = (
        f"The smallest variant is {smallest['name']}, {theme.number(size, 'rate', size - 0.01, size + 0.01)} "
        f"of the original when compressed; its {title} changes by {_signed(lost, lost['change_unit'])}."
    )
    yield Section(
        "won",
        "What is won",
        finding,
        tradeoff_figure(panels, f"change of the {title}", lost["change_unit"]),
        f"Left of the upright line is cheaper than the original; {'below' if lost['better'] == 'higher' else 'above'} "
        "the level one, those worst off lose. Bars are paired 95 % intervals.",
        how="Zeros in a pruned network are stored and multiplied like other numbers: only compression shrinks them.",
    )


def _who(models: Sequence[Line], lines: Sequence[Line], churn: pa.Table | None) -> Iterator[Section]:
    main = _main(lines)
    groups = [line for line in lines if line["metric"] == main["metric"] and line["group"]]
    if not groups or churn is None:
        return
    higher = main["better"] == "higher"
    names = [model["name"] for model in models[1:]]
    shown = names[:MOST_VARIANTS]
    worse = [line for line in groups if line["judged"] == "worse"]
    if worse:
        low = min(worse, key=lambda line: line["change"] * (1 if higher else -1))
        lost = f"{_signed(low, low['change_unit'])} of {low['title']} with {low['variant']}"
        finding = f"{low['group']} ({low['attribute']}) loses most: {lost}."
    else:
        way = "lower" if higher else "higher"
        finding = f"No group's {main['title']} is {way} beyond chance with any variant."
    if len(names) > len(shown):
        finding += f" The figure shows the first {len(shown)} variants."
    records = [
        {
            "variant": line["variant"],
            "attribute": line["attribute"],
            "group": line["group"],
            "rows": theme.number(line["n"], "rows"),
            **_decided(line, churn),
            **_of_group(line, lines),
        }
        for line in groups
    ]
    yield Section(
        "who",
        "Who pays",
        finding,
        groups_figure([line for line in groups if line["variant"] in shown], shown),
        f"Each dot is a group's {main['title']} under the variant minus under the original, on the same people.",
        pa.Table.from_pylist(records),
        "Groups with too few rows to be judged are left out; a dash stands for too few rows with a positive label.",
    )


def _decided(line: Line, churn: pa.Table) -> dict[str, str]:
    """How many decisions changed in the group of a line, and of everybody; nothing where nothing is decided."""
    mine = matching(churn, variant=line["variant"], attribute=line["attribute"], group=line["group"])
    whole = matching(churn, variant=line["variant"], attribute="")
    return {"decisions changed": _share(mine[0]), "of everybody": _share(whole[0])} if mine and whole else {}


def _of_group(line: Line, lines: Sequence[Line]) -> dict[str, str]:
    """The figures of the group of a line."""
    titles = {one["metric"]: one["title"] for one in lines}
    wanted = [name for name in BY_GROUP[line["metric"]] if name in titles]
    same = [one for one in lines if all(one[key] == line[key] for key in ("variant", "attribute", "group"))]
    found = {one["metric"]: _cell(one, one["change_unit"]) for one in same}
    return {titles[name]: found.get(name, theme.NO_VALUE) for name in wanted}


def _share(line: Line) -> str:
    value = theme.number(line["changed"] / line["rows"], "rate", line["lower"], line["upper"])
    return f"{value} {theme.interval(line['lower'], line['upper'], 'rate')}"
