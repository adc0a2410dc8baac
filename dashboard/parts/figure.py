"""Figures on a page: the figure that the report shows, in the page's own light or dark."""

import plotly.graph_objects as go
import streamlit as st

from auditkit.theme import template
from dashboard.appearance import FONT

_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def show_figure(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a figure across the page. The figure itself may be shared and is left as it is."""
    look = template(dark=st.context.theme.type == "dark")
    look.layout.font.family = f"{FONT}, sans-serif"
    drawn = go.Figure(figure).update_layout(template=look, hoverlabel_font_family=f"{FONT}, sans-serif")
    st.plotly_chart(drawn, theme=None, key=key, config=_CONFIG, alt=alt)
