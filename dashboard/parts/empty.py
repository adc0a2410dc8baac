"""What is said where there is nothing to show: why, and the command that changes it."""

from pathlib import Path

import streamlit as st

from dashboard.parts.text import escape


def show_no_audits(root: Path) -> None:
    """No finished audit under the root."""
    st.title("No audits yet", anchor=False)
    where = "There is no folder" if not root.is_dir() else "There is no finished audit in"
    st.markdown(f"{where} {escape(root.absolute())}. An audit that is still being written is not shown.")
    st.markdown("See the whole of it on two built-in subjects, trained and audited in a few minutes:")
    st.code("auditkit demo", language="bash")
    st.markdown("Audit a model of your own:")
    st.code("auditkit init MODEL DATA\nauditkit run audit.yaml", language="bash")
    st.markdown("Or only check the fairness of predictions that you have in a table:")
    st.code("auditkit fairness TABLE.csv --label y --prediction y_hat --sensitive sex --out reports", language="bash")
    st.button("Look again", icon=":material/refresh:")


def show_not_run(discipline: str) -> None:
    """The audit left this discipline out."""
    st.info(
        f"This audit did not run {escape(discipline)}. Name it under `analyses:` in the audit's YAML file, or leave "
        "`analyses:` out to run all of them, then run the audit again:",
        icon=":material/block:",
    )
    st.code("auditkit run audit.yaml", language="bash")


def show_nothing_to_show(discipline: str) -> None:
    """The discipline ran and found nothing that can be drawn."""
    st.info(
        f"The discipline {escape(discipline)} ran and left nothing to draw for this subject. What it did measure is "
        "in the metric table, on the page Report & evidence.",
        icon=":material/info:",
    )
