"""One answer explained: choose a method and a row, see what spoke for the answer and what against it."""

from typing import Any

import streamlit as st

from auditkit.attribution.figures import explanation
from auditkit.attribution.framing import titles
from auditkit.evidence.store import Evidence
from auditkit.theme import NO_VALUE
from dashboard.parts.browse import Listing, choose_row, distinct, literal
from dashboard.parts.figure import show_figure
from dashboard.parts.guard import spoken
from dashboard.parts.text import escape, muted

_ROWS, _METHODS = "attribution/rows", "attribution/methods"
_CONDITIONS = {"All": [], "Right": ["label = prediction"], "Wrong": ["label <> prediction"]}


def has_explained_rows(evidence: Evidence) -> bool:
    """Whether the audit kept any row's explanation."""
    return {_ROWS, _METHODS} <= set(evidence.table_names()) and bool(distinct(evidence, _ROWS, "method"))


@st.fragment
def show_explained_rows(evidence: Evidence) -> None:
    """The rows that were explained, to look through, and the chosen one's explanation."""
    with spoken("one answer's explanation"):
        methods = evidence.query("select method, title, signed from t", t=_METHODS)
        present = distinct(evidence, _ROWS, "method")
        names = {name: title for name, title in titles(methods).items() if name in present}
        st.markdown(muted("These rows were drawn with the audit's seed. Choose one to see what spoke for its answer."))
        left, middle, right = st.columns([2, 2, 2], vertical_alignment="bottom")
        method = left.selectbox("Method", list(names), format_func=names.__getitem__, filter_mode=None)
        predicted, answers = None, None
        if not _numbers(evidence):
            classes = distinct(evidence, _ROWS, "prediction")
            predicted = middle.selectbox("Predicted", [None, *classes], format_func=lambda c: "any" if c is None else c)
            answers = right.segmented_control("Answer", list(_CONDITIONS), default="All", required=True)
        conditions = [f"method = {literal(method)}", *_CONDITIONS[answers or "All"]]
        if predicted is not None:
            conditions.append(f"prediction = {literal(predicted)}")
        listing = Listing(_ROWS, _columns(), conditions, "abs(score) desc, row", "explained")
        chosen = choose_row(evidence, listing)
        if chosen is not None:
            signed = {line["method"]: line["signed"] for line in methods.to_pylist()}
            _show_one(evidence, method, names[method], chosen, signed[method])


def _numbers(evidence: Evidence) -> bool:
    """Whether the model predicts a number, so that no answer is simply right or wrong."""
    return (evidence.info.get("schema") or {}).get("task") == "regression"


def _columns() -> dict[str, Any]:
    return {
        "row": st.column_config.NumberColumn("Row", format="%d"),
        "label": "Label",
        "prediction": "Prediction",
        "score": st.column_config.NumberColumn(
            "Score", format="%.3f", help="The model's score before it becomes a probability"
        ),
        "baseline_score": st.column_config.NumberColumn("Baseline's score", format="%.3f"),
        "target": None,
        "relative_gap": st.column_config.NumberColumn(
            "Completeness gap", format="percent", help="How far the attributions are from adding up, relative"
        ),
    }


def _show_one(evidence: Evidence, method: str, title: str, chosen: dict[str, Any], signed: bool) -> None:
    row, label, prediction = chosen["row"], chosen["label"], chosen["prediction"]
    truth = "its label is not known" if label is None else "rightly" if label == prediction else f"but labelled {label}"
    if label is not None and _numbers(evidence):
        truth = f"truly {label}"
    figure = explanation(evidence, method, row)
    if figure is None:
        st.info(f"{escape(title)} left no explanation of row {row}.", icon=":material/info:")
        return
    st.subheader(escape(f"Row {row:,} was predicted {prediction or NO_VALUE}, {truth}"), anchor=False)
    show_figure(figure, f"explanation-{method}-{row}", alt=f"{title} of row {row}")
    reading = (
        f"Blue raises the {chosen['target']}, orange lowers it; a longer bar or a stronger colour means more."
        if signed
        else f"Brighter places raise the {chosen['target']} more; this method does not tell what lowers it."
    )
    st.markdown(muted(f"{reading} An attribution says what the model used, not what causes the outcome."))
