"""The reports to take along: those the audit wrote, and any other format made from the evidence when asked for."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from auditkit.evidence.store import Evidence
from dashboard.parts.reading import open_evidence, stamp_of
from dashboard.parts.text import muted

_WIDTH = 230
FORMATS = {
    "html": ("report.html", "text/html", "HTML", "One file that opens in any browser, without a network."),
    "markdown": ("report.md", "text/markdown", "Markdown", "For a job summary or a repository."),
    "json": ("report.json", "application/json", "JSON", "For another program; it has a published schema."),
    "junit": ("junit.xml", "application/xml", "JUnit XML", "For CI: each gate is a test case."),
}


def show_downloads(evidence: Evidence) -> None:
    """One download per format, each saying what it is for; as many to a line as there is room."""
    with st.container(horizontal=True):
        for format_, (name, mime, title, purpose) in FORMATS.items():
            with st.container(border=True, width=_WIDTH, height=175, vertical_alignment="distribute"):
                st.markdown(f"**{title}**  \n{muted(purpose)}")
                st.download_button(
                    "Download",
                    data=_content(evidence, format_),
                    file_name=f"{_file_stem(evidence)}-{name}",
                    mime=mime,
                    icon=":material/download:",
                    key=f"download-{format_}",
                    on_click="ignore",
                    width="stretch",
                )


def _file_stem(evidence: Evidence) -> str:
    return f"{evidence.folder.resolve().parent.name}-{evidence.info['audit_id']}"


def _content(evidence: Evidence, format_: str) -> Callable[[], bytes]:
    """The report as bytes, when the button is pressed and not before."""
    return lambda: report(str(evidence.folder), stamp_of(evidence.folder), format_)


@st.cache_data(max_entries=8, show_spinner=False)
def report(folder: str, stamp: int, format_: str) -> bytes:
    """A report of the audit in a folder: as it lies there, or made from the evidence."""
    name = FORMATS[format_][0]
    written = Path(folder) / name
    if written.is_file():
        return written.read_bytes()
    from auditkit.report import write_reports

    with tempfile.TemporaryDirectory() as beside:
        write_reports(open_evidence(Path(folder)), Path(beside), [format_])
        return (Path(beside) / name).read_bytes()
