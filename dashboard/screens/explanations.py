"""Explanations: what do the model's decisions rest on, over all rows and in one?"""

import streamlit as st

from dashboard.parts.choice import chosen
from dashboard.parts.explained import has_explained_rows, show_explained_rows
from dashboard.parts.sections import show_sections, show_title

evidence = chosen()
show_title("Explanations", "What do its decisions rest on, do the methods agree, and can the attributions be trusted?")
if has_explained_rows(evidence):
    overall, one = st.tabs(["Over all rows", "One answer at a time"])
    with one:
        show_explained_rows(evidence)
    with overall:
        show_sections(evidence, "attribution")
else:
    show_sections(evidence, "attribution")
