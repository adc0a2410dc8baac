"""The evidence held against its manifest, with every file that differs named."""

import pyarrow as pa
import streamlit as st

from auditkit.evidence.store import Evidence
from dashboard.parts.reading import check, forget_checks
from dashboard.parts.table import show_table
from dashboard.parts.text import escape, muted


def show_check(evidence: Evidence) -> None:
    """The result of the check, a button that checks again, and the command that does the same."""
    found = check(evidence.folder)
    if isinstance(found, str):
        st.error(escape(found), icon=":material/gpp_maybe:")
    elif found.intact:
        st.success(f"All {found.files} files are as the audit left them.", icon=":material/gpp_good:")
    else:
        differing = [("changed", found.changed), ("removed", found.removed), ("added", found.added)]
        listed = [(name, what) for what, names in differing for name in names]
        st.error(
            f"{len(listed)} of {found.files} files differ from what the audit left. Do not rely on this evidence; run "
            "the audit again.",
            icon=":material/gpp_bad:",
        )
        show_table(
            pa.table({"File": [name for name, _ in listed], "Was": [what for _, what in listed]}), key="differing"
        )
    if st.button("Check again", icon=":material/refresh:"):
        forget_checks()
        st.rerun()
    st.markdown(muted("The same in a terminal, without the dashboard:"))
    st.code(f"auditkit verify {evidence.folder}", language="bash")
