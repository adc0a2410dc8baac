"""The dashboard: navigation and the chosen audit. Each page answers one question, from finished evidence alone.

`auditkit dashboard DIR` starts it on this machine only (see `serve.py`); `streamlit run dashboard/app.py -- DIR` starts
it with whatever settings Streamlit finds. Every page is drawn by its own file under `screens/`, inside the frame made
here: navigation, the list of audits, and the warning that comes first where evidence was changed. (The folder must not
be called `pages`: Streamlit would run its files on their own, without the frame, for the first visitor by deep link.)
"""

import re
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from auditkit.spec import DISCIPLINES
from dashboard.parts.banner import show_integrity
from dashboard.parts.choice import Choice, available, choose, chosen, root
from dashboard.parts.daylight import follow_daylight
from dashboard.parts.empty import show_no_audits
from dashboard.parts.guard import spoken
from dashboard.parts.reading import UNREADABLE, check, open_evidence
from dashboard.parts.sections import show_discipline
from dashboard.parts.text import escape

MARK = str(Path(__file__).with_name("mark.svg"))
PAGES = (
    ("overview", "Overview", ":material/verified:"),
    ("performance", "Performance", ":material/target:"),
    ("fairness", "Fairness", ":material/balance:"),
    ("explanations", "Explanations", ":material/lightbulb:"),
    ("activations", "Activations", ":material/grain:"),
    ("out_of_distribution", "Out of distribution", ":material/travel_explore:"),
    ("energy", "Energy", ":material/bolt:"),
    ("report", "Report & evidence", ":material/inventory_2:"),
)


def main() -> None:
    """Draw the frame, then the page."""
    st.set_page_config(page_title="auditkit", page_icon=MARK, layout="wide", initial_sidebar_state=220)
    st.logo(MARK, size="large")
    choices = available(root())
    choice = choose(choices) if choices else None
    page = st.navigation([*own_pages(), *further_pages(choice)])
    st.set_page_config(page_title=f"{page.title} · auditkit")
    if choice is None:
        show_no_audits(root())
        return
    follow_daylight()
    with st.container(width=980, key="page"):
        show_integrity(check(choice.folder))
        with spoken(f"the page {page.title}"):
            page.run()


def own_pages() -> list[StreamlitPage]:
    """The dashboard's pages, one file each."""
    return [
        st.Page(
            f"screens/{name}.py", title=title, icon=icon, url_path=name.replace("_", "-"), default=name == "overview"
        )
        for name, title, icon in PAGES
    ]


def further_pages(choice: Choice | None) -> list[StreamlitPage]:
    """A page for each discipline of the chosen audit that came from elsewhere, through an entry point."""
    try:
        titles = open_evidence(choice.folder).titles if choice else {}
    except UNREADABLE:
        return []
    return [
        st.Page(
            partial(_show_further, name, title), title=escape(title), icon=":material/extension:", url_path=_slug(name)
        )
        for name, title in titles.items()
        if name not in DISCIPLINES
    ]


def _show_further(name: str, title: str) -> None:
    show_discipline(chosen(), name, title)


def _slug(name: str) -> str:
    return "discipline-" + re.sub(r"[^a-z0-9]+", "-", name.lower())


main()
