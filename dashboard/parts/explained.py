"""One answer explained: narrow down the rows that were explained, choose one, and see what spoke for its answer."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from auditkit.attribution.framing import titles
from auditkit.evidence.store import Evidence
from dashboard.parts.browse import Listing, choose_row, columns_of, distinct, literal
from dashboard.parts.compared import show_row
from dashboard.parts.guard import spoken
from dashboard.parts.text import muted

_ROWS, _METHODS, _INPUTS = "attribution/rows", "attribution/methods", "attribution/inputs"
_GROUPS, _WORDS = "attribution/row_groups", "attribution/explanations"
_CONDITIONS = {"All": [], "Right": ["label = prediction"], "Wrong": ["label <> prediction"]}
_ORDERS = {
    "Strongest score first": "abs(score) desc, row",
    "Highest score first": "score desc, row",
    "Lowest score first": "score, row",
    "Weakest score first": "abs(score), row",
}


def has_explained_rows(evidence: Evidence) -> bool:
    """Whether the audit kept any row's explanation."""
    return {_ROWS, _METHODS} <= set(evidence.table_names()) and bool(distinct(evidence, _ROWS, "method"))


@st.fragment
def show_explained_rows(evidence: Evidence) -> None:
    """Filters, the rows that pass them, and the chosen one by one method or by two."""
    with spoken("one answer's explanation"):
        methods = evidence.query("select method, title, signed, complete from t", t=_METHODS)
        present = distinct(evidence, _ROWS, "method")
        names = {name: title for name, title in titles(methods).items() if name in present}
        st.markdown(muted("These rows were drawn with the audit's seed. Choose one to see what spoke for its answer."))
        conditions = [f"method = {literal(next(iter(names)))}", *_by_answer(evidence)]
        further, order = _by_group_and_text(evidence)
        others = {"g": _GROUPS, "i": _INPUTS, "w": _WORDS}
        others = {alias: table for alias, table in others.items() if table in evidence.table_names()}
        made = _sentence(evidence)
        listing = Listing(_ROWS, _columns(made), [*conditions, *further], order, "explained", others, made)
        chosen = choose_row(evidence, listing)
        if chosen is None:
            return
        left, right = st.columns(2)
        method = left.selectbox("Method", list(names), format_func=names.__getitem__, filter_mode=None)
        rest = [None, *(name for name in names if name != method)]
        second = right.selectbox(
            "Compared with",
            rest,
            format_func=lambda name: "nothing" if name is None else names[name],
            filter_mode=None,
            disabled=len(rest) == 1,
            help="This audit explained its rows by one method only." if len(rest) == 1 else None,
            key="explained-second",
        )
        show_row(evidence, chosen, [method] if second is None else [method, second], names, is_number(evidence))


def is_number(evidence: Evidence) -> bool:
    """Whether the model predicts a number, so that no answer is simply right or wrong."""
    return (evidence.info.get("schema") or {}).get("task") == "regression"


def _by_answer(evidence: Evidence) -> list[str]:
    """Conditions by true class, predicted class and whether the answer was right."""
    if is_number(evidence):
        return []
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    found = []
    for place, title, column in ((left, "Class", "label"), (middle, "Predicted", "prediction")):
        classes = distinct(evidence, _ROWS, column)
        value = place.selectbox(title, [None, *classes], format_func=lambda c: "any" if c is None else c)
        if value is not None:
            found.append(f"{column} = {literal(value)}")
    answers = right.segmented_control("Answer", list(_CONDITIONS), default="All", required=True)
    return found + _CONDITIONS[answers or "All"]


def _by_group_and_text(evidence: Evidence) -> tuple[list[str], str]:
    """Conditions by a group of people and by a text in the row; and the order of the rows."""
    people = bool((evidence.info.get("schema") or {}).get("sensitive"))
    searched = _searched(evidence)
    places = iter(st.columns(3, vertical_alignment="bottom"))
    found = _by_group(evidence, next(places)) if people else []
    order = next(places).selectbox("Order", list(_ORDERS), filter_mode=None)
    if searched:
        text = next(places).text_input("Text in the row", placeholder="any").strip().lower()
        has = [
            f"row in (select row from {alias} where contains(lower({column}), {literal(text)}))"
            for alias, column in searched.items()
        ]
        found += [f"({' or '.join(has)})"] if text else []
    if people and _GROUPS not in evidence.table_names():
        st.markdown(muted("No choice by group: this audit was made before groups were kept with explained rows."))
    return found, _ORDERS[order]


def _by_group(evidence: Evidence, place: DeltaGenerator) -> list[str]:
    pairs = []
    if _GROUPS in evidence.table_names():
        found = evidence.query('select distinct attribute, "group" as name from t order by 1, 2', t=_GROUPS)
        pairs = [(line["attribute"], line["name"]) for line in found.to_pylist()]
    chosen = place.selectbox(
        "Group",
        [None, *pairs],
        format_func=lambda pair: "any" if pair is None else f"{pair[0]}: {'not known' if pair[1] is None else pair[1]}",
        disabled=not pairs,
        placeholder="not kept" if not pairs else None,
    )
    if chosen is None:
        return []
    group = '"group" is null' if chosen[1] is None else f'"group" = {literal(chosen[1])}'
    return [f"row in (select row from g where attribute = {literal(chosen[0])} and {group})"]


def _searched(evidence: Evidence) -> dict[str, str]:
    """Name in conditions → the column in which a row's text is looked for; none for pictures and series."""
    found = {"i": (_INPUTS, "value"), "w": (_WORDS, "word")}
    return {alias: name for alias, (table, name) in found.items() if name in columns_of(evidence, table)}


def _sentence(evidence: Evidence) -> dict[str, str]:
    """A text's own words in their order, as a column in SQL; none for rows that are no texts."""
    if not {"word", "position"} <= set(columns_of(evidence, _WORDS)):
        return {}
    words = "select string_agg(word, ' ' order by position) from w where w.row = t.row and w.method = t.method"
    return {"text": f"replace(({words}), ' ##', '')"}


def _columns(made: Mapping[str, str]) -> dict[str, Any]:
    return {
        "row": st.column_config.NumberColumn("Row", format="%d", width="small" if made else None),
        **{name: st.column_config.TextColumn(name.capitalize(), width="large") for name in made},
        "label": "Label",
        "prediction": "Prediction",
        "score": st.column_config.NumberColumn(
            "Score", format="%.3f", help="The model's score before it becomes a probability"
        ),
        "baseline_score": st.column_config.NumberColumn("Baseline's score", format="%.3f"),
        "target": None,
    }
