"""Evidence as pages read it: opened once, kept by its digest, bounded.

Cached objects are shared between sessions and are only ever read. An audit that was run again has another digest and
is read anew; one whose files were touched since has another time stamp and is read anew too.
"""

from importlib.metadata import entry_points
from pathlib import Path

import streamlit as st

from auditkit.errors import InputError
from auditkit.evidence.manifest import Verification, verify
from auditkit.evidence.section import Section
from auditkit.evidence.store import Evidence

UNREADABLE = (InputError, OSError, KeyError, TypeError, ValueError, AttributeError)
"""What reading evidence may raise that was changed since it was written."""


def stamp_of(folder: Path) -> int:
    """When anything in an audit's folder last changed, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")])


def open_evidence(folder: Path) -> Evidence:
    """The evidence in a folder. Raises InputError where it cannot be read."""
    return _open(str(folder), stamp_of(folder))


@st.cache_resource(max_entries=16, show_spinner=False)
def _open(folder: str, stamp: int) -> Evidence:
    return Evidence(folder)


def sections_of(evidence: Evidence, discipline: str) -> list[Section]:
    """A discipline's sections; none where the audit did not run it or no view of it is installed."""
    if discipline not in evidence.titles:
        return []
    return _sections(
        str(evidence.folder), evidence.info["result_digest"], stamp_of(evidence.folder), discipline, evidence
    )


@st.cache_resource(max_entries=48, show_spinner="Reading the evidence …")
def _sections(folder: str, digest: str, stamp: int, discipline: str, _evidence: Evidence) -> list[Section]:
    views = entry_points(group="auditkit.views", name=discipline)
    return [section for view in views for section in view.load()(_evidence)]


def check(folder: Path) -> Verification | str:
    """The folder held against its manifest, or a sentence where that was not possible."""
    return _check(str(folder), stamp_of(folder))


@st.cache_data(max_entries=64, ttl=60, show_spinner="Checking the evidence …")
def _check(folder: str, stamp: int) -> Verification | str:
    try:
        return verify(Path(folder))
    except (InputError, OSError) as problem:
        return str(problem)


def forget_checks() -> None:
    """Have the next `check` read every file again."""
    _check.clear()
