"""A row by one method or by two side by side: the figure, how far the two agree, and each attribution's proof."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from auditkit.attribution.comparison import comparison
from auditkit.attribution.figures import explanation
from auditkit.attribution.proof import agreement, proof
from auditkit.evidence.section import matching
from auditkit.evidence.store import Evidence
from auditkit.theme import NO_VALUE
from dashboard.parts.figure import show_figure
from dashboard.parts.table import show_table
from dashboard.parts.text import escape, muted


def show_row(
    evidence: Evidence, chosen: Mapping[str, Any], pair: Sequence[str], names: dict[str, str], number: bool
) -> None:
    """chosen: the row's line. pair: one method or two. names: method → title. number: the model predicts a number."""
    row, label, prediction = chosen["row"], chosen["label"], chosen["prediction"]
    truth = "its label is not known" if label is None else "rightly" if label == prediction else f"but labelled {label}"
    if label is not None and number:
        truth = f"truly {label}"
    figure = explanation(evidence, pair[0], row) if len(pair) == 1 else comparison(evidence, row, pair[0], pair[1])
    said = " and ".join(names[name] for name in pair)
    if figure is None:
        st.info(f"{escape(said)} left no explanation of row {row}.", icon=":material/info:")
        return
    st.subheader(escape(f"Row {row:,} was predicted {prediction or NO_VALUE}, {truth}"), anchor=False)
    if len(pair) == 2:
        st.markdown(escape(agreement(evidence, row, pair[0], pair[1], names)))
    show_figure(figure, f"explanation-{'-'.join(pair)}-{row}", alt=f"{said} of row {row}")
    st.markdown(muted(_reading(evidence, pair, names, chosen["target"])))
    _show_proof(evidence, pair, names, row)


def _show_proof(evidence: Evidence, pair: Sequence[str], names: dict[str, str], row: int) -> None:
    """Validity, completeness gap, evaluations and steps, a column for each method."""
    facts = [proof(evidence, name, row) for name in pair]
    table = {"Proof": list(facts[0])}
    table |= {
        names[name]: [own.get(fact, NO_VALUE) for fact in facts[0]] for name, own in zip(pair, facts, strict=True)
    }
    show_table(pa.table(table), key=f"proof-{row}")


def _reading(evidence: Evidence, pair: Sequence[str], names: dict[str, str], target: str) -> str:
    methods = evidence.table("attribution/methods")
    signed = {name: matching(methods, method=name)[0]["signed"] for name in pair}
    silent = [names[name] for name in pair if not signed[name]]
    text = f"Blue raises the {target}, orange lowers it; a longer bar or a stronger colour means more."
    if len(silent) == len(pair):
        text = f"A longer bar or a stronger colour means that the {target} rests more on it; no sign is told."
    elif silent:
        text += f" {' and '.join(silent)} tells how much and no sign."
    if len(pair) == 2:
        text += " Both are shares of what each method attributes to this row in all, on one scale."
    return f"{text} An attribution says what the model used, not what causes the outcome."
