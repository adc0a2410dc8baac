"""Explanations: what do the model's decisions rest on, over all rows and in one?"""

from functools import partial

from dashboard.parts.choice import chosen
from dashboard.parts.explained import has_explained_rows, show_explained_rows
from dashboard.parts.sections import show_sections, show_title

ONE = "One answer at a time"

evidence = chosen()
show_title("Explanations", "What do its decisions rest on, do the methods agree, and can the attributions be trusted?")
others = {ONE: partial(show_explained_rows, evidence)} if has_explained_rows(evidence) else {}
show_sections(evidence, "attribution", others=others)
