"""The rows that the model got wrong, surest first: where a confident mistake was made, the data is worth a look."""

import streamlit as st

from auditkit.evidence.store import Evidence
from dashboard.parts.browse import Listing, columns_of, distinct, literal, show_rows
from dashboard.parts.guard import spoken
from dashboard.parts.sections import show_heading
from dashboard.parts.text import muted

_TABLE = "performance/predictions"


@st.fragment
def show_mistakes(evidence: Evidence) -> None:
    """Look through mistakes by split and true class; nothing where the audit kept no predictions."""
    with spoken("the list of mistakes"):
        if _TABLE not in evidence.table_names():
            return
        if "error" in columns_of(evidence, _TABLE):
            _show_furthest(evidence)
            return
        show_heading("Its surest mistakes", "mistakes")
        splits = distinct(evidence, _TABLE, "split")
        truth = "True labels" if "wrong" in columns_of(evidence, _TABLE) else "True class"
        left, right = st.columns(2)
        split = left.selectbox("Split", splits, index=splits.index("test") if "test" in splits else 0)
        labels = distinct(evidence, _TABLE, "label")
        label = right.selectbox(truth, [None, *labels], format_func=lambda c: "any" if c is None else c)
        conditions = ["not correct", f"split = {literal(split)}"]
        if label is not None:
            conditions.append(f"label = {literal(label)}")
        columns = {
            "row": st.column_config.NumberColumn("Row", format="%d"),
            "label": truth,
            "prediction": "Predicted",
            "confidence": st.column_config.NumberColumn("Its confidence", format="percent"),
        }
        show_rows(evidence, Listing(_TABLE, columns, conditions, "confidence desc, row", "mistakes"))
        st.markdown(muted("A confident mistake is a model that is sure of the wrong thing, or a label that is wrong."))


def _show_furthest(evidence: Evidence) -> None:
    """Of a model that predicts a number: the rows on which it is furthest off."""
    show_heading("Where it is furthest off", "mistakes")
    splits = distinct(evidence, _TABLE, "split")
    split = st.selectbox("Split", splits, index=splits.index("test") if "test" in splits else 0)
    columns = {
        "row": st.column_config.NumberColumn("Row", format="%d"),
        "label": st.column_config.NumberColumn("True", format="%.6g"),
        "prediction": st.column_config.NumberColumn("Predicted", format="%.6g"),
        "error": st.column_config.NumberColumn("Predicted minus true", format="%.6g"),
    }
    conditions = ["error is not null", f"split = {literal(split)}"]
    show_rows(evidence, Listing(_TABLE, columns, conditions, "abs(error) desc, row", "mistakes"))
    st.markdown(muted("A row that is far off is one the model has not understood, or one whose label is wrong."))
