"""Which audit is looked at: chosen in the sidebar, kept in the address (`?audit=adult/0123456789ab`).

The choice lives in session state of its own, not in a widget's, because a widget's state is lost where it is not
drawn. An address wins over it, so that a link opens the audit it names. Only a finished audit under the root can be
named: whatever else an address says is answered with a sentence and the newest audit.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from auditkit.evidence.store import Evidence, finished_audits
from auditkit.theme import VERDICTS
from dashboard.parts.reading import UNREADABLE, open_evidence
from dashboard.parts.text import escape, muted

ROOT_VARIABLE = "AUDITKIT_REPORTS"
_CHOSEN, _FOLDER, _WIDGET, _PARAMETER = "chosen_audit", "chosen_folder", "audit_widget", "audit"


@dataclass(frozen=True, slots=True)
class Choice:
    """A finished audit: its name in an address, its folder and how the list shows it."""

    key: str
    folder: Path
    label: str
    when: str = ""


def root() -> Path:
    """The folder with the audits: the argument after `--`, else $AUDITKIT_REPORTS, else ./reports."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    return Path(given[0] if given else os.environ.get(ROOT_VARIABLE) or "reports")


def available(folder: Path) -> list[Choice]:
    """The finished audits under a folder, newest first; a half-written one is not among them."""
    if not folder.is_dir():
        return []
    return [_choice(found, folder) for found in finished_audits(folder)]


def _choice(found: Path, folder: Path) -> Choice:
    relative = found.resolve().relative_to(folder.resolve()).as_posix()
    key = found.resolve().name if relative == "." else relative
    try:
        info = open_evidence(found).info
        mark = VERDICTS[info["verdict"]][0]
        return Choice(key, found, f"{mark} {info['name']} · {info['audit_id'][:6]}", _when(info["created"]))
    except UNREADABLE:
        return Choice(key, found, f"{key} · cannot be read")


def _when(created: str) -> str:
    return f"{created[:16].replace('T', ' ')} UTC"


def choose(choices: list[Choice]) -> Choice:
    """Show the list in the sidebar and return the audit to look at."""
    keys = {choice.key: choice for choice in choices}
    asked = st.query_params.get(_PARAMETER)
    if asked is not None and asked not in keys:
        st.warning(f"There is no finished audit {escape(asked)} here; another one is shown.", icon=":material/info:")
    candidates = (asked, st.session_state.get(_CHOSEN), choices[0].key)
    current = next(key for key in candidates if key in keys)
    st.session_state[_WIDGET] = current
    st.sidebar.selectbox(
        "Audit", list(keys), format_func=lambda key: keys[key].label, key=_WIDGET, on_change=_remember, filter_mode=None
    )
    if keys[current].when:
        st.sidebar.markdown(muted(keys[current].when))
    st.session_state[_CHOSEN] = st.query_params[_PARAMETER] = current
    st.session_state[_FOLDER] = keys[current].folder
    return keys[current]


def _remember() -> None:
    st.session_state[_CHOSEN] = st.query_params[_PARAMETER] = st.session_state[_WIDGET]


def chosen() -> Evidence:
    """The evidence of the chosen audit, for a page. Raises InputError where it cannot be read."""
    return open_evidence(st.session_state[_FOLDER])
