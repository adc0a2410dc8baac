"""What happens when a page cannot be drawn: a sentence for the reader, the details for the server's log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from auditkit.errors import InputError
from dashboard.parts.text import escape


@contextmanager
def spoken(what: str) -> Iterator[None]:
    """Draw inside this: whatever goes wrong is said in one sentence and never shown as a traceback."""
    try:
        yield
    except InputError as problem:
        st.error(escape(problem), icon=":material/error:")
    except Exception:
        logging.getLogger("auditkit.dashboard").exception(what)
        st.error(
            f"{escape(what[0].upper() + what[1:])} could not be drawn from the evidence. `auditkit verify` tells "
            "whether the evidence was changed; the server's log holds the details.",
            icon=":material/error:",
        )
