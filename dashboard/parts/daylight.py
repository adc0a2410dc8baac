"""Notices when the page turns light or dark, so that figures can follow at once.

The server learns which of the two a page is only with the next click, and until then dark ink would stand on a dark
page. This part is a few lines in the browser that ask for that click when the page's colours change.
"""

import streamlit as st

_WATCH = """
export default function ({ setTriggerValue }) {
  const app = document.querySelector('[data-testid="stApp"]')
  const scheme = () => getComputedStyle(app).colorScheme
  let last = scheme()
  const observer = new MutationObserver(() => {
    const now = scheme()
    if (now !== last) { last = now; setTriggerValue("scheme", now) }
  })
  observer.observe(app, { attributes: true, attributeFilter: ["class"] })
  return () => observer.disconnect()
}
"""


def follow_daylight() -> None:
    """Draw the page again when it turns light or dark. Nothing is to be seen of it."""
    watch = st.components.v2.component("auditkit_daylight", js=_WATCH)
    watch(key="daylight", on_scheme_change=lambda: None, height=1)
