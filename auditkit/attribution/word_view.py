"""How attributions of texts are shown over all explained rows: the leading words, as a section."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.attribution import word_figures
from auditkit.attribution.framing import titles
from auditkit.evidence.section import Section, matching


def word_section(words: pa.Table, methods: pa.Table, lead: str, target: str, baseline: str) -> Section:
    """Which words speak for and against a target."""
    lines = matching(words, method=lead)
    clear = [line for line in lines if line["lower"] is not None]
    title = "Which words the answers rest on"
    how = (
        f"{titles(methods)[lead]}; a word's attribution in a row is the sum over its places, and words that at least "
        "three explained rows have are listed. 95 % intervals (Student's, over rows, from five rows on) cover the "
        "choice of rows for a word named beforehand; of the first of a long list some stand there by chance. Words are "
        f"ordered by the end of their interval that is nearer to zero. Baseline: {baseline}."
    )
    if not clear:
        return Section("importance", title, "No word stands in as many as five of the explained rows.", how=how)
    shared = any(line["class"] == "" for line in lines)
    return Section(
        "importance",
        title,
        _finding(clear, target, shared),
        figure=word_figures.leading_words(words, methods, lead),
        reading=(f"Bars: mean attribution to the {target}; blue raises it, orange lowers it. " if shared else "")
        + ("" if shared else "Bars: mean attribution to the logit of the predicted class or label; blue raises it. ")
        + "In brackets: how many explained rows have the word. A word that should not matter is a reason to look.",
        table=_word_table(lines, shared),
        how=how,
    )


def _finding(clear: list[dict[str, Any]], target: str, shared: bool) -> str:
    """The clearest words of each sign, or for each class, in a sentence."""
    if not shared:
        said = []
        for name in dict.fromkeys(line["class"] for line in clear):
            first = word_figures.ordered([line for line in clear if line["class"] == name], 1)
            if first and first[0]["lower"] is not None and first[0]["lower"] > 0:
                said.append(f"{first[0]['word']!r} for {name} ({_value(first[0])})")
        return f"The clearest words are {'; '.join(said[:4])}." if said else "No word clearly raises any class."
    lines = word_figures.ordered([line for line in clear if line["class"] == ""], 1)
    up = [line for line in lines if line["lower"] > 0]
    down = [line for line in lines if line["upper"] < 0]
    if not up and not down:
        return f"No single word clearly raises or lowers the {target} over the explained rows."
    said = [f"raised most clearly by {_told(line)}" for line in up]
    said += [f"lowered most clearly by {_told(line)}" for line in down]
    return f"The {target} is {' and '.join(said)}."


def _told(line: dict[str, Any]) -> str:
    return f"{line['word']!r} ({_value(line)} in {line['rows']} rows)"


def _value(line: dict[str, Any]) -> str:
    edges = line["lower"], line["upper"]
    return f"{theme.number(line['mean'], '', *edges)} {theme.interval(*edges)}"


def _word_table(lines: list[dict[str, Any]], shared: bool) -> pa.Table:
    """Words in the figure's order for all rows (or each class), then what they are worth by predicted class."""
    by_class = {(line["class"], line["word"]): line for line in lines}
    classes = list(dict.fromkeys(line["class"] for line in lines if line["class"]))
    if shared:
        listed = word_figures.ordered([line for line in lines if line["class"] == ""], 25)
    else:
        listed = [
            line
            for name in classes
            for line in word_figures.ordered([line for line in lines if line["class"] == name], 5)
        ]
    table = {} if shared else {"predicted": [line["class"] for line in listed]}
    table |= {
        "word": [line["word"] for line in listed],
        "rows": [theme.number(line["rows"], "rows") for line in listed],
        "mean attribution": [theme.number(line["mean"], "", line["lower"], line["upper"]) for line in listed],
        "interval": [theme.interval(line["lower"], line["upper"]) for line in listed],
    }
    for name in classes if shared else []:
        found = [by_class.get((name, line["word"])) for line in listed]
        table[f"where {name} is predicted"] = [
            theme.NO_VALUE
            if line is None
            else f"{theme.number(line['mean'], '', line['lower'], line['upper'])} (n={line['rows']})"
            for line in found
        ]
    return pa.table(table)
