"""The strangest rows of a split, by the fused score: what the detectors say is unlike anything in training."""

import streamlit as st

from auditkit.evidence.store import Evidence
from dashboard.parts.browse import Listing, columns_of, distinct, literal, show_rows
from dashboard.parts.guard import spoken
from dashboard.parts.sections import show_heading
from dashboard.parts.text import muted

_TABLE = "ood/scores"
_CONDITIONS: dict[str, list[str]] = {"All": [], "Flagged": ["flagged"], "Not flagged": ["not flagged"]}


@st.fragment
def show_strangest(evidence: Evidence) -> None:
    """Look through a split's rows from the strangest on; nothing where the audit kept no fused scores."""
    with spoken("the list of strange rows"):
        headings = {
            "row": st.column_config.NumberColumn("Row", format="%d"),
            "fused": st.column_config.NumberColumn("Fused score", format="%.2f"),
            "fused_p": st.column_config.NumberColumn("p-value", format="%.4f"),
            "flagged": st.column_config.CheckboxColumn("Flagged"),
        }
        if not {"split", *headings} <= set(columns_of(evidence, _TABLE)):
            return
        show_heading("The strangest rows", "strangest")
        splits = distinct(evidence, _TABLE, "split")
        left, right = st.columns(2)
        split = left.selectbox("Split", splits, index=splits.index("test") if "test" in splits else 0)
        shown = right.segmented_control("Rows", ["All", "Flagged", "Not flagged"], default="All", required=True)
        conditions = [f"split = {literal(split)}", *_CONDITIONS[shown or "All"]]
        show_rows(evidence, Listing(_TABLE, headings, conditions, "fused desc, row", "strangest"))
        st.markdown(
            muted("The p-value is the share of normal rows that look at least as strange. Row numbers count from 0.")
        )
