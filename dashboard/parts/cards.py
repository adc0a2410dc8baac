"""The handful of numbers to know first, each a row of the metric table, with its interval and where it comes from.

A card names a metric and its split (predictions in a table have none); where several rows answer to it, one per
attribute say, the one furthest from good is shown.
A metric that was not measured has no card: absent is never shown as zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from auditkit.evidence.metrics import MetricRow, select
from auditkit.theme import interval, number
from dashboard.parts.text import escape, unbroken


@dataclass(frozen=True, slots=True)
class Card:
    """A metric worth a card, and its name for people."""

    label: str
    analysis: str
    metric: str
    split: str | None = None
    detail: str | None = None


_WIDTH = 312
CARDS = (
    Card("Accuracy", "performance", "accuracy", "test"),
    Card("AUC", "performance", "auc", "test"),
    Card("R²", "performance", "r2", "test"),
    Card("Mean absolute error", "performance", "mae", "test"),
    Card("Every label right", "performance", "subset_accuracy", "test"),
    Card("Hamming loss", "performance", "hamming_loss", "test"),
    Card("Selection-rate ratio, worst", "fairness", "demographic_parity_ratio", "test"),
    Card("Equalized-odds gap, worst", "fairness", "equalized_odds_difference", "test"),
    Card("Mean-error gap, worst", "fairness", "mean_error_difference", "test"),
    Card("OOD AUROC, worst set", "ood", "auroc", None, "fused"),
    Card("Energy per 1,000 rows", "energy", "joules_per_1000_rows"),
)


def shown(rows: Sequence[MetricRow]) -> list[tuple[Card, MetricRow]]:
    """The cards that these rows can fill, each with its row."""
    filled = []
    for card in CARDS:
        found = select(rows, analysis=card.analysis, metric=card.metric, status="ok", group="")
        if card.split is not None:
            found = select(found, split=(card.split, ""))
        if card.detail is not None:
            found = select(found, detail=card.detail)
        if found:
            filled.append((card, min(found, key=_goodness)))
    return filled


def _goodness(row: MetricRow) -> float:
    assert row.value is not None
    return -row.value if row.better == "lower" else row.value


def show_cards(rows: Sequence[MetricRow]) -> None:
    """Lay the cards out, as many to a line as there is room."""
    with st.container(horizontal=True):
        for card, row in shown(rows):
            st.metric(
                escape(card.label),
                unbroken(number(row.value, row.unit, row.lower, row.upper)),
                delta=unbroken(interval(row.lower, row.upper, row.unit)) if row.lower is not None else None,
                delta_color="off",
                delta_arrow="off",
                delta_description=escape(_about(row)) or None,
                border=True,
                width=_WIDTH,
            )


def _about(row: MetricRow) -> str:
    of = row.attribute or (row.split if row.split != "test" else "")
    rows = f"n = {row.n:,}" if row.n is not None else ""
    return ", ".join(part for part in (of, rows) if part)
