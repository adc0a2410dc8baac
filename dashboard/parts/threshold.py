"""Another threshold, tried out: a slider, and what every rate and gap would be. Counted from score counts alone."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from auditkit.evidence.metrics import MetricRow
from auditkit.evidence.store import Evidence
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.scores.at_threshold import MAXIMUM_GROUPS, decided_at, nearest_edge, rows_at
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.scores.evidence import counts_from_table
from auditkit.fairness.scores.threshold_view import JUDGED, threshold_cards, threshold_sections
from auditkit.theme import interval, number, short
from dashboard.parts.guard import spoken
from dashboard.parts.reading import stamp_of
from dashboard.parts.sections import show_section
from dashboard.parts.text import escape, muted, unbroken

TABLE = "fairness/score_counts"
_FEW, _MOST_OWN, _ACROSS = 4, 8, 4
_WIDTH = 224


def has_scores(evidence: Evidence) -> bool:
    """Whether the audit kept score counts."""
    return TABLE in evidence.table_names()


@st.fragment
def show_thresholds(evidence: Evidence) -> None:
    """The slider and what follows from it. Only this part is drawn again when it is moved."""
    with spoken("another threshold"):
        split, counts = _scores(str(evidence.folder), stamp_of(evidence.folder), evidence)
        judged = [row for row in evidence.rows if row.analysis == "fairness" and row.split == split]
        told = evidence.info["spec"].get("fairness") or {}
        attributes = {
            joined(names): names
            for names in subsets(counts.attributes, bool(told.get("intersections", True)))
            if len(counts.margin(names).groups) <= MAXIMUM_GROUPS
        }
        if not attributes:
            st.markdown(muted("Every attribute has too many groups to be compared."))
            return
        today = next((row.value for row in judged if row.metric == "decision_threshold" and row.status == "ok"), None)
        st.markdown(muted(_said(today, split)))
        left, right = st.columns([1, 2], gap="large", vertical_alignment="bottom")
        attribute = left.selectbox("Groups by", list(attributes), key="threshold-attribute", filter_mode=None)
        names = attributes[attribute]
        place = f"{evidence.info['audit_id']}-{attribute}"
        groups = counts.margin(names).names
        chosen = _with_their_own(groups, place)
        start = 0.5 if today is None else today
        whole = len(chosen) == len(groups)
        at = _slider(right, "Positive from a score of", start, counts, f"threshold-{place}", disabled=whole)
        own = _own_thresholds(chosen, at, counts, place)
        decided = decided_at(counts, at, own, names)
        rows = rows_at(decided, [names], int(told.get("minimum_group", 30)), float(told.get("confidence", 0.95)), split)
        _show_cards(rows, judged, attribute)
        for section in threshold_sections(rows, judged, attribute):
            show_section(section, "fairness")


@st.cache_resource(max_entries=8, show_spinner=False)
def _scores(folder: str, stamp: int, _evidence: Evidence) -> tuple[str, ScoreCounts]:
    """The judged split and its score counts."""
    table = _evidence.table(TABLE)
    assert table is not None
    counts = counts_from_table(table)
    split = "test" if "test" in counts else next(iter(counts))
    return split, counts[split]


def _said(today: float | None, split: str) -> str:
    on = f" of {split}" if split else ""
    if today is None:
        return (
            f"The decisions that were judged follow from no single threshold on the score. Rows{on} are counted anew."
        )
    return f"Decisions were judged at a threshold of {today:g}. Move it: rows{on} are counted anew, without the model."


def _slider(
    where: DeltaGenerator, label: str, value: float, counts: ScoreCounts, key: str, disabled: bool = False
) -> float:
    if key not in st.session_state:
        st.session_state[key] = value
    chosen = where.slider(label, 0.0, 1.0, step=1 / counts.bins, format="%.3f", key=key, disabled=disabled)
    return nearest_edge(counts, chosen)


def _with_their_own(groups: Sequence[str], place: str) -> list[str]:
    """The groups that are to have a threshold of their own."""
    if not st.toggle("A threshold of its own for some groups", key=f"own-{place}"):
        return []
    return st.multiselect(
        "Groups with their own threshold",
        groups,
        default=groups if len(groups) <= _FEW else [],
        max_selections=_MOST_OWN,
        key=f"own-groups-{place}",
        placeholder=f"Choose up to {_MOST_OWN} of {len(groups)} groups",
    )


def _own_thresholds(chosen: Sequence[str], at: float, counts: ScoreCounts, place: str) -> dict[str, float]:
    """A slider for each of these groups; it starts where everybody's stands."""
    own = {}
    for start in range(0, len(chosen), _ACROSS):
        for column, group in zip(st.columns(_ACROSS), chosen[start : start + _ACROSS], strict=False):
            own[group] = _slider(column, escape(short(group)), at, counts, f"threshold-{place}-{group}")
    return own


def _show_cards(rows: Sequence[MetricRow], judged: Sequence[MetricRow], attribute: str) -> None:
    with st.container(horizontal=True):
        for label, row, before in threshold_cards(rows, judged, attribute):
            ok = row is not None and row.status == "ok"
            st.metric(
                label,
                unbroken(number(row.value, row.unit, row.lower, row.upper)) if row is not None and ok else "not judged",
                delta=unbroken(interval(row.lower, row.upper, row.unit)) if row is not None and ok else None,
                delta_color="off",
                delta_arrow="off",
                delta_description=_before(before),
                border=True,
                width=_WIDTH,
            )


def _before(row: MetricRow | None) -> str | None:
    if row is None or row.status != "ok":
        return None
    return f"{JUDGED} {unbroken(number(row.value, row.unit, row.lower, row.upper))}"
