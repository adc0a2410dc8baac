"""How attribution is shown: evidence → sections. Picks rows and formats them; computes no statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit import theme
from auditkit.attribution import figures, picture_figures, series_figures, word_figures
from auditkit.attribution.beeswarm import beeswarm_section
from auditkit.attribution.evaluation.view import sections as evaluation_sections
from auditkit.attribution.framing import titles
from auditkit.attribution.preflight_view import preflight_section
from auditkit.attribution.strategy_view import whole_set_sections
from auditkit.attribution.word_view import word_section
from auditkit.evidence.metrics import MetricRow, select
from auditkit.evidence.section import Section, matching

NAME = "attribution"
SHARE = (
    "Each explained row's attributions are divided by their total magnitude and averaged over rows, so that all shares "
    "add up to 100 %. Intervals are a percentile bootstrap over the explained rows: they cover the choice of rows, not "
    "the choice of method or baseline."
)


def sections(evidence: Any) -> list[Section]:
    """The sections of the page, in reading order; one that says why where nothing was explained."""
    rows, methods = evidence.table(f"{NAME}/rows"), evidence.table(f"{NAME}/methods")
    if rows is None or methods is None:
        said = [caveat.text for caveat in evidence.caveats if caveat.analysis == NAME]
        return [Section("nothing", "Explanations", " ".join(said))] if said else []
    lead = leading(methods, rows)
    importance = [*_overall(evidence, methods), *beeswarm_section(evidence, methods, lead)]
    chapters = {
        "What it rests on": [*importance, *_examples(evidence, rows, methods)],
        "Groups, classes and strategies": [*_by_group(evidence, methods), *whole_set_sections(evidence, methods)],
        "Can it be believed?": [
            *evaluation_sections(evidence, titles(methods), lead),
            *preflight_section(evidence),
            _checks(evidence, rows, methods),
        ],
    }
    return [replace(section, chapter=chapter) for chapter, parts in chapters.items() for section in parts]


def explained_rows(evidence: Any) -> pa.Table | None:
    """One line per explained row, for choosing one: row, label, prediction, target, score, baseline_score."""
    rows = evidence.table(f"{NAME}/rows")
    if rows is None or rows.num_rows == 0:
        return None
    first = rows.column("method")[0].as_py()
    chosen = rows.filter(pc.equal(rows.column("method"), first))
    return chosen.select(["row", "label", "prediction", "target", "score", "baseline_score"])


def leading(methods: pa.Table, rows: pa.Table) -> str:
    """The method shown first: a complete one where there is one."""
    present = set(rows.column("method").to_pylist())
    lines = [line for line in methods.to_pylist() if line["method"] in present]
    return str(max(lines, key=lambda line: line["complete"])["method"])


def _overall(evidence: Any, methods: pa.Table) -> list[Section]:
    overall, rows = evidence.table(f"{NAME}/global"), evidence.table(f"{NAME}/rows")
    words = evidence.table(f"{NAME}/words")
    if words is not None:
        lead = leading(methods, rows)
        return [word_section(words, methods, lead, matching(rows, method=lead)[0]["target"], _baseline(evidence))]
    if overall is None:
        return []
    lead = leading(methods, rows)
    title = titles(methods)[lead]
    lines = [line for line in matching(overall, method=lead, attribute="") if line["status"] == "ok"]
    if not lines:
        return []
    n, baseline = lines[0]["n"], _baseline(evidence)
    image = _explains_images(methods)
    how = f"{title} over {theme.number(n, 'rows')} rows drawn with the audit's seed. {SHARE} Baseline: {baseline}."
    ranked = sorted(lines, key=lambda line: -line["share"])
    if image:
        top = ranked[0]
        return [
            Section(
                "importance",
                "Where the answers rest",
                f"The weightiest place holds {theme.number(top['share'], 'rate', top['lower'], top['upper'])} of the "
                f"attribution, {theme.number(1 / len(lines), 'rate')} would be an even spread.",
                figure=figures.importance_map(overall, methods),
                reading="Brighter places carry more of the attribution, for or against, averaged over the explained "
                "pictures; all panels share one scale.",
                how=how,
            )
        ]
    if _kind(methods) == "windows" and len(lines) == 1:
        return _over_time(evidence, methods, lead, how)
    named = [
        f"{line['column']} ({theme.number(line['share'], 'rate', line['lower'], line['upper'])})" for line in ranked
    ]
    return [
        Section(
            "importance",
            "What the answers rest on",
            f"Of the attribution, the largest shares lie on {_listed(named[:3])}.",
            figure=figures.importance(overall, methods, lead),
            reading=f"Bars: share of attribution by {title}, with 95 % intervals; marks: the other methods. A "
            f"{_column(methods)} on which the methods disagree needs a closer look.",
            table=_importance_table(overall, methods, ranked, _column(methods)),
            how=how,
        ),
        *_over_time(evidence, methods, lead, how),
    ]


def _over_time(evidence: Any, methods: pa.Table, lead: str, how: str) -> list[Section]:
    """Series: which windows of time the answers rest on."""
    windows = evidence.table(f"{NAME}/windows")
    lines = [] if windows is None else matching(windows, method=lead, attribute="", status="ok")
    if not lines:
        return []
    top = max(lines, key=lambda line: line["share"])
    return [
        Section(
            "windows",
            "Where in time the answers rest",
            f"The weightiest stretch, steps {top['column']}, holds "
            f"{theme.number(top['share'], 'rate', top['lower'], top['upper'])} of the attribution, "
            f"{theme.number(1 / len(lines), 'rate')} would be an even spread.",
            figure=series_figures.windows(windows, methods, lead),
            reading=f"Bars: share of attribution by {titles(methods)[lead]} over all channels, with 95 % intervals; "
            "marks: the other methods.",
            table=_importance_table(windows, methods, sorted(lines, key=lambda line: -line["share"]), "steps"),
            how=how,
        )
    ]


def _promising(methods: pa.Table) -> str:
    """Which of the methods used promise that values add up, as the beginning of a sentence.

    >>> used = {"title": ["LIME", "LRP"], "complete": [False, True], "status": ["valid", "valid"]}
    >>> _promising(pa.table(used))
    'Only LRP promises'
    """
    names = [line["title"] for line in methods.to_pylist() if line["complete"] and line["status"] != "refused"]
    if not names:
        return "No method used here promises"
    return f"Only {names[0]} promises" if len(names) == 1 else f"Only {', '.join(names[:-1])} and {names[-1]} promise"


def _kind(methods: pa.Table) -> str:
    """What answers are explained by: columns, cells of a picture, words or windows of time."""
    known = methods.column("parts").to_pylist() if "parts" in methods.column_names else []
    return str(known[0]) if known else "columns"


def _column(methods: pa.Table) -> str:
    """What a named part is called."""
    return "channel" if _kind(methods) == "windows" else "column"


def _explains_images(methods: pa.Table) -> bool:
    """Whether the explained parts are cells of a picture in place of columns with names."""
    return _kind(methods) == "cells"


def _importance_table(
    overall: pa.Table, methods: pa.Table, ranked: list[dict[str, Any]], heading: str = "column"
) -> pa.Table:
    """Columns by rank: share and interval, mean signed attribution, and every other method's share."""
    lead = ranked[0]["method"]
    columns: dict[str, list[str]] = {
        heading: [line["column"] for line in ranked],
        "share": [theme.number(line["share"], "rate", line["lower"], line["upper"]) for line in ranked],
        "interval": [theme.interval(line["lower"], line["upper"], "rate") for line in ranked],
        "mean attribution": [f"{line['signed']:+.3f}" for line in ranked],
    }
    for method, title in titles(methods).items():
        found = {line["column"]: line for line in matching(overall, method=method, attribute="", status="ok")}
        if method != lead and found:
            shown = [found[line["column"]] for line in ranked]
            columns[title] = [theme.number(line["share"], "rate", line["lower"], line["upper"]) for line in shown]
    return pa.table(columns)


def _by_group(evidence: Any, methods: pa.Table) -> list[Section]:
    overall, rows = evidence.table(f"{NAME}/global"), evidence.table(f"{NAME}/rows")
    if overall is None or _explains_images(methods):
        return []
    if len(set(overall.column("column").to_pylist())) == 1 and _kind(methods) == "windows":
        return []
    lead, result = leading(methods, rows), []
    attributes = dict.fromkeys(name for name in overall.column("attribute").to_pylist() if name)
    for place, attribute in enumerate(attributes, start=1):
        lines = matching(overall, method=lead, attribute=attribute)
        small = {line["group"]: line["reason"] for line in lines if line["status"] != "ok"}
        judged = [line for line in lines if line["status"] == "ok"]
        groups = list(dict.fromkeys(line["group"] for line in judged))
        left_out = f" Not judged: {_listed([f'{g} ({why})' for g, why in small.items()])}." if small else ""
        title = f"What the answers rest on, by {attribute}"
        if len(groups) < 2:
            finding = f"Fewer than two groups of {attribute} have enough explained rows to compare.{left_out}"
            result.append(Section(f"groups-{place}", title, finding))
            continue
        tops = {g: max((line for line in judged if line["group"] == g), key=lambda line: line["share"]) for g in groups}
        leaders = {line["column"] for line in tops.values()}
        if len(leaders) == 1:
            finding = f"{leaders.pop()} carries the most weight in every judged group of {attribute}."
        else:
            said = [f"{line['column']} for {group}" for group, line in tops.items()]
            finding = f"The column with the most weight differs between groups of {attribute}: {_listed(said)}."
        result.append(
            Section(
                f"groups-{place}",
                title,
                finding + left_out,
                figure=figures.importance_by_group(overall, attribute, lead),
                reading="Marks far apart, with intervals that do not overlap: the model uses that column differently "
                "for these groups.",
                table=_group_table(judged, groups),
                how=f"{titles(methods)[lead]}, shares within each group of the explained rows. {SHARE}",
            )
        )
    return result


def _group_table(judged: list[dict[str, Any]], groups: list[str]) -> pa.Table:
    columns = list(dict.fromkeys(line["column"] for line in judged))
    cell = {(line["group"], line["column"]): line for line in judged}
    table = {"column": columns}
    for group in groups:
        shown = [cell[group, column] for column in columns]
        table[f"{group} (n={shown[0]['n']})"] = [
            f"{theme.number(line['share'], 'rate', line['lower'], line['upper'])} "
            f"{theme.interval(line['lower'], line['upper'], 'rate')}"
            for line in shown
        ]
    return pa.table(table)


def example_rows(rows: pa.Table, method: str, numbers: bool = False) -> dict[str, int]:
    """A few rows worth a look: the highest score that was right, the highest that was wrong, the least certain.

    numbers: scores are predicted numbers; then the highest, the lowest and the one that is furthest off.
    """
    lines = matching(rows, method=method)
    if numbers:
        return _example_numbers(lines)
    known = [line for line in lines if line["label"] is not None]
    right = [line for line in known if line["label"] == line["prediction"]]
    wrong = [line for line in known if line["label"] != line["prediction"]]
    chosen: dict[str, int] = {}
    for words, among, sign in (
        ("surest and right", right, -1),
        ("surest and wrong", wrong, -1),
        ("least sure", lines, 1),
    ):
        rest = [line for line in among if line["row"] not in chosen.values()]
        if rest:
            chosen[words] = min(rest, key=lambda line: sign * abs(line["score"]))["row"]
    return chosen


def _example_numbers(lines: list[dict[str, Any]]) -> dict[str, int]:
    off = [line for line in lines if line["label"] is not None]
    ranked = {
        "highest": sorted(lines, key=lambda line: -line["score"]),
        "lowest": sorted(lines, key=lambda line: line["score"]),
        "furthest off": sorted(off, key=lambda line: -abs(line["score"] - float(line["label"]))),
    }
    chosen: dict[str, int] = {}
    for words, among in ranked.items():
        rest = [line["row"] for line in among if line["row"] not in chosen.values()]
        if rest:
            chosen[words] = rest[0]
    return chosen


def _examples(evidence: Any, rows: pa.Table, methods: pa.Table) -> list[Section]:
    table, inputs = evidence.table(f"{NAME}/explanations"), evidence.table(f"{NAME}/inputs")
    if table is None or table.num_rows == 0:
        return []
    lead = leading(methods, rows)
    task = evidence.info.get("schema", {}).get("task")
    numbers, what = task == "regression", "explained label" if task == "multilabel" else "predicted class"
    chosen = example_rows(rows, lead, numbers)
    said = _listed([f"row {row} ({words})" for words, row in chosen.items()])
    if "word" in table.column_names:
        figure = word_figures.sentences(table, rows, methods, list(chosen.values()), lead)
        reading = (
            f"The words as the model reads them: blue raises the {matching(rows, method=lead)[0]['target']}, orange "
            "lowers it, stronger colour more; all rows share one scale."
            if len({line["target"] for line in matching(rows, method=lead)}) == 1
            else f"The words as the model reads them: blue raises the logit of the {what}, orange lowers it, "
            "stronger colour more; all rows share one scale."
        )
    elif "channel" in table.column_names:
        figure = series_figures.curves(table, inputs, rows, methods, list(chosen.values()), lead)
        reading = (
            "Lines: the series in their own units. Colour behind them: blue where a step raises the score, orange "
            "where it lowers it, stronger for more; all panels share one scale."
        )
    elif "map" in table.column_names:
        present = set(table.column("method").to_pylist())
        shown = [name for name in titles(methods) if name in present]
        figure = picture_figures.pictures(table, inputs, rows, methods, list(chosen.values()), shown)
        reading = (
            f"Blue {'raises the number' if numbers else f'speaks for the {what}'}, orange "
            f"{'lowers' if numbers else 'against'} it. All maps share one scale, shares of their row's attribution. "
            "A method that tells no sign shows how much in blue."
        )
    else:
        figure = figures.steps(table, inputs, rows, methods, list(chosen.values()), lead)
        target = matching(rows, method=lead)[0]["target"]
        reading = f"From the baseline's score to the row's: blue raises the {target}, orange lowers it, largest first."
    shown_table = _example_table(rows, lead, list(chosen.values()))
    if "word" in table.column_names:
        said_words = [_strongest(matching(table, method=lead, row=row)) for row in chosen.values()]
        shown_table = shown_table.append_column("strongest words", pa.array(said_words, pa.string()))
    return [
        Section(
            "examples",
            "Single answers explained",
            f"Explained one by one: {said}.",
            figure=figure,
            reading=reading,
            table=shown_table,
            how=f"Every explained row is kept as evidence; these are examples. Baseline: {_baseline(evidence)}.",
        )
    ]


def _strongest(lines: list[dict[str, Any]], most: int = 4) -> str:
    """A text's words with the largest attributions."""
    first = sorted(lines, key=lambda line: -abs(line["value"]))[:most]
    return ", ".join(f"{line['word']} {line['value']:+.2f}" for line in first)


def _example_table(rows: pa.Table, method: str, chosen: list[int]) -> pa.Table:
    lines = [matching(rows, method=method, row=row)[0] for row in chosen]
    return pa.table(
        {
            "row": [str(line["row"]) for line in lines],
            "label": [line["label"] or theme.NO_VALUE for line in lines],
            "prediction": [line["prediction"] for line in lines],
            "target": [line["target"] for line in lines],
            "score": [f"{line['score']:.3f}" for line in lines],
            "baseline score": [f"{line['baseline_score']:.3f}" for line in lines],
            "completeness gap": [f"{line['gap']:+.3g}" for line in lines],
        }
    )


def _checks(evidence: Any, rows: pa.Table, methods: pa.Table) -> Section:
    metrics = [row for row in evidence.rows if row.analysis == NAME]
    lead = leading(methods, rows)
    name = titles(methods)
    worst = select(metrics, metric="completeness_gap_p95", detail=lead)
    pairs = [row for row in select(metrics, metric="agreement") if row.value is not None and lead in row.detail]
    finding = f"{name[lead]} was computed for every explained row."
    if worst and worst[0].value is not None:
        finding = (
            f"{name[lead]} adds up to within {theme.number(worst[0].value, 'rate')} for 95 % of the explained rows."
        )
    if pairs:
        ranked = sorted(pairs, key=lambda row: row.value or 0.0)
        finding += f" It agrees least with {_partner(ranked[0], lead, name)}: rank correlation {_value(ranked[0])}."
    refused = [line for line in methods.to_pylist() if line["status"] != "valid"]
    finding += "".join(f" {line['title']} is {line['status']}: {line['reason']}." for line in refused)
    tolerance = evidence.info.get("spec", {}).get(NAME, {}).get("tolerance")
    return Section(
        "checks",
        "Can the explanations be trusted?",
        finding,
        figure=figures.completeness(rows, methods, tolerance),
        reading=f"Further left adds up better. {_promising(methods)} to add up; of other methods the gap says how much "
        f"of the answer comes from {_kind(methods)} acting together.",
        table=_check_table(metrics, methods),
        how="Completeness gap: |sum of attributions - change in score| / max(|change in score|, a tenth of the summed "
        "magnitudes), per row. Agreement: Spearman's rank correlation of the magnitudes, per row, median over rows. "
        "Integrated Gradients takes steps for each row, where its score bends, until the gap is within the tolerance.",
    )


def _check_table(metrics: list[MetricRow], methods: pa.Table) -> pa.Table:
    def cell(method: str, metric: str, unit: str) -> str:
        found = select(metrics, metric=metric, detail=method)
        return theme.number(found[0].value, unit) if found else theme.NO_VALUE

    lines = methods.to_pylist()
    return pa.table(
        {
            "method": [line["title"] for line in lines],
            "for this model": [line["status"] + (f": {line['reason']}" if line["reason"] else "") for line in lines],
            "promises to add up": ["yes" if line["complete"] else "no" for line in lines],
            "median gap": [cell(line["method"], "completeness_gap", "rate") for line in lines],
            "95th percentile": [cell(line["method"], "completeness_gap_p95", "rate") for line in lines],
            "rows forwarded per explained row": [cell(line["method"], "evaluations_per_row", "") for line in lines],
        }
    )


def _baseline(evidence: Any) -> str:
    table = evidence.table(f"{NAME}/baseline")
    return "not recorded" if table is None or table.num_rows == 0 else str(table.column("description")[0].as_py())


def _partner(row: MetricRow, lead: str, name: dict[str, str]) -> str:
    return name[next(part for part in row.detail.split(" · ") if part != lead)]


def _value(row: MetricRow) -> str:
    return f"{theme.number(row.value, '', row.lower, row.upper)} {theme.interval(row.lower, row.upper)}"


def _listed(parts: list[str]) -> str:
    """Words in a row, as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
