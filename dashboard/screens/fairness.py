"""Fairness: does the model treat groups of people alike, and are the groups large enough to tell?"""

import streamlit as st

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_sections, show_title
from dashboard.parts.threshold import has_scores, show_thresholds

FOUND, TRIED = "What was found", "Try another threshold"

evidence = chosen()
show_title("Fairness", "Does the model treat groups of people alike, and are the groups large enough to tell?")
if has_scores(evidence):
    found, tried = st.tabs([FOUND, TRIED], key="fairness-view", on_change="rerun")
    if tried.open:
        with tried:
            show_thresholds(evidence)
    else:
        with found:
            show_sections(evidence, "fairness")
else:
    show_sections(evidence, "fairness")
