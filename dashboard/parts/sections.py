"""A discipline's page: each finding as a sentence, the figure that shows it, how to read it, the table, the method."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa
import streamlit as st

from auditkit.evidence.metrics import Caveat
from auditkit.evidence.section import Chapter, Section, chapters_of
from auditkit.evidence.store import Evidence
from dashboard.parts.empty import show_not_run, show_nothing_to_show
from dashboard.parts.figure import show_figure
from dashboard.parts.reading import sections_of
from dashboard.parts.table import show_table
from dashboard.parts.text import escape, muted

_OPEN_ROWS, _OPEN_CAVEATS = 6, 6


def show_discipline(
    evidence: Evidence,
    discipline: str,
    title: str,
    question: str = "",
    also: Callable[[Evidence], None] | None = None,
) -> None:
    """The page of one discipline: the question it answers, its sections, what `also` shows, its caveats."""
    show_title(title, question)
    show_sections(evidence, discipline, also)


def show_title(title: str, question: str = "") -> None:
    """A page's title and the question it answers."""
    st.title(escape(title), anchor=False)
    if question:
        st.markdown(muted(question))


def show_sections(
    evidence: Evidence,
    discipline: str,
    also: Callable[[Evidence], None] | None = None,
    others: Mapping[str, Callable[[], None]] | None = None,
) -> None:
    """What a discipline found, and what to read before trusting it; or why there is nothing.

    also: what stands below the findings. others: title → what stands in one more tab beside them.
    """
    if discipline not in evidence.titles:
        show_not_run(discipline)
        return
    sections = sections_of(evidence, discipline)
    if not sections:
        show_nothing_to_show(discipline)
    show_chapters(chapters_of(sections), discipline, others if sections else None)
    if also is not None:
        also(evidence)
    show_caveats(evidence, discipline)


def show_chapters(
    chapters: Sequence[Chapter], discipline: str, others: Mapping[str, Callable[[], None]] | None = None
) -> None:
    """Sections, as tabs where there are several chapters; only the open one is drawn. others: title → one more tab."""
    drawn: dict[str, Callable[[], None]] = {
        chapter.title: partial(_show_all, chapter.sections, discipline) for chapter in chapters
    }
    drawn |= others or {}
    if len(drawn) < 2:
        for show in drawn.values():
            show()
        return
    tabs = st.tabs(list(drawn), key=f"{discipline}-chapters", on_change="rerun")
    for tab, show in zip(tabs, drawn.values(), strict=True):
        if tab.open:
            with tab:
                show()


def _show_all(sections: Sequence[Section], discipline: str) -> None:
    for section in sections:
        show_section(section, discipline)


def show_section(section: Section, discipline: str) -> None:
    """One finding, in the order in which it is to be read."""
    key = f"{discipline}-{section.key}"
    st.space("medium")
    if section.figure is None:
        st.markdown(muted(section.title))
    st.subheader(escape(section.finding or section.title), anchor=section.key)
    if section.figure is not None:
        show_figure(section.figure, f"figure-{key}", alt=f"{section.title}. {section.finding}")
    if section.reading:
        st.markdown(muted(section.reading))
    if section.table is not None and section.table.num_rows:
        _show_behind(section.table, f"table-{key}", folded=section.figure is not None)
    if section.how:
        with st.expander("How this was computed", icon=":material/function:"):
            st.markdown(escape(section.how))


def _show_behind(table: pa.Table, key: str, folded: bool) -> None:
    """The table behind a figure: a long one is folded away, since the figure shows the same."""
    if folded and table.num_rows > _OPEN_ROWS:
        with st.expander(f"The table behind it: {table.num_rows:,} lines", icon=":material/table_rows:"):
            show_table(table, key=key)
    else:
        show_table(table, key=key)


def show_heading(title: str, anchor: str, explanation: str = "") -> None:
    """The heading of a part of a page, with room above it."""
    st.space("small")
    st.subheader(title, anchor=anchor)
    if explanation:
        st.markdown(muted(explanation))


def show_caveats(evidence: Evidence, discipline: str | None = None) -> None:
    """What to read before trusting a number, of one discipline or of the whole audit; warnings first."""
    caveats = [caveat for caveat in evidence.caveats if discipline in (None, caveat.analysis)]
    if not caveats:
        return
    show_heading("Read before trusting", "caveats")
    ordered = sorted(caveats, key=lambda caveat: caveat.level != "warning")
    _list(ordered[:_OPEN_CAVEATS])
    if further := ordered[_OPEN_CAVEATS:]:
        with st.expander(f"{len(further)} more"):
            _list(further)


def _list(caveats: Sequence[Caveat]) -> None:
    for caveat in caveats:
        icon = ":yellow[:material/warning:]" if caveat.level == "warning" else ":gray[:material/info:]"
        st.markdown(f"{icon} **{escape(caveat.about or caveat.analysis)}**: {escape(caveat.text)}")
