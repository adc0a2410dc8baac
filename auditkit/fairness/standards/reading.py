"""What the standards' tables say, in plain sentences. None of them says what the law would make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditkit.fairness.groups.definitions import FOUR_FIFTHS
from auditkit.fairness.standards.four_fifths import (
    ABOVE_BEYOND,
    ABOVE_WITHIN,
    BELOW_BEYOND,
    BELOW_SMALL,
    BELOW_WITHIN,
    HIGHEST,
    NOT_JUDGED,
)

Record = Mapping[str, Any]

WORDS = {
    HIGHEST: "the highest rate",
    BELOW_BEYOND: "below four-fifths, and hardly by chance",
    BELOW_SMALL: "below four-fifths, but on small numbers",
    BELOW_WITHIN: "below four-fifths, but within what chance gives",
    ABOVE_BEYOND: "not below four-fifths, yet the difference is hardly chance",
    ABOVE_WITHIN: "not below four-fifths, and within what chance gives",
    NOT_JUDGED: "not judged",
}


def p_text(p: float | None) -> str:
    """A p value as it is read.

    >>> p_text(0.04519), p_text(0.4519), p_text(1e-9), p_text(None)
    ('p = 0.045', 'p = 0.45', 'p < 0.0001', 'no p value')
    """
    if p is None:
        return "no p value"
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2f}" if p >= 0.095 else f"p = {p:.1g}" if p < 0.0095 else f"p = {p:.3f}"


def ratio_text(ratio: float | None) -> str:
    """An impact ratio to three decimals, cut and not rounded where rounding would move it to the other side of 0.8.

    >>> ratio_text(0.7897), ratio_text(0.79999), ratio_text(None)
    ('0.790', '0.799', '–')
    """
    if ratio is None:
        return "–"
    return "0.799" if 0.7995 <= ratio < FOUR_FIFTHS else f"{ratio:.3f}"


def selections_text(record: Record) -> str:
    """How many selections stand between a group and the other side of four-fifths.

    >>> selections_text({"selections_to_change": 1, "impact_ratio": 0.75})
    'one more selection would reach four-fifths'
    """
    change, ratio = record["selections_to_change"], record["impact_ratio"]
    if change is None or ratio is None:
        return ""
    many = {1: "one", 2: "two"}.get(change, f"{change:,}")
    noun = "selection" if change == 1 else "selections"
    if ratio < FOUR_FIFTHS:
        return f"{many} more {noun} would reach four-fifths"
    return f"{many} fewer {noun} would go below four-fifths"


def four_fifths_sentence(record: Record) -> str:
    """One group of the four-fifths table in a sentence."""
    group, rate = record["group"], f"{100 * (record['rate'] or 0.0):.1f} % of {record['n']:,} people"
    if record["outcome"] == NOT_JUDGED:
        return f"{group} is not judged: {record['reason']}."
    if record["outcome"] == HIGHEST:
        return f"{group} has the highest selection rate ({rate}), which the others are held against."
    text = f"{group} has {ratio_text(record['impact_ratio'])} of {record['reference']}'s selection rate ({rate}): "
    text += f"{WORDS[record['outcome']]} ({record['test']}, {p_text(record['p_adjusted'])})"
    if record["one_more_changes"] or record["two_more_change"]:
        text += f"; {selections_text(record)}"
    if record["one_swap_reverses"]:
        text += "; choosing one different person would turn the order round"
    return text + "."


def four_fifths_finding(records: Sequence[Record]) -> str:
    """The four-fifths table in a sentence per attribute: its lowest ratio, and how many groups are below."""
    sentences = []
    for attribute in dict.fromkeys(record["attribute"] for record in records):
        mine = [record for record in records if record["attribute"] == attribute]
        judged = [record for record in mine if record["outcome"] not in (NOT_JUDGED, HIGHEST)]
        if not judged:
            reason = next((record["reason"] for record in mine if record["reason"]), "there are no groups")
            sentences.append(f"By {attribute}, nothing is judged: {reason}.")
            continue
        below = sum(record["impact_ratio"] < FOUR_FIFTHS for record in judged)
        lowest = four_fifths_sentence(min(judged, key=lambda record: (record["impact_ratio"], record["p_adjusted"])))
        of = f"{below or 'none'} of {len(judged)} groups held against the highest {'is' if below == 1 else 'are'} below"
        many = f"{of} four-fifths; lowest: " if len(judged) > 1 else ""
        sentences.append(f"By {attribute}, {many}{lowest}")
    return " ".join(sentences)


def ll144_finding(records: Sequence[Record], notes: Sequence[Record]) -> str:
    """The lowest impact ratio of each breakdown, who is unknown, and whether the margins agree."""
    parts = []
    for breakdown in dict.fromkeys(record["breakdown"] for record in records):
        judged = [r for r in records if r["breakdown"] == breakdown and r["impact_ratio"] is not None]
        if not judged:
            parts.append(f"by {breakdown} there is none")
            continue
        lowest = min(judged, key=lambda record: record["impact_ratio"])
        parts.append(f"by {breakdown} {ratio_text(lowest['impact_ratio'])} ({lowest['category']})")
    text = f"Lowest impact ratios: {', '.join(parts)}." if parts else "There is nobody to count."
    text += "".join(f" {note['text']}" for note in notes if note["topic"] == "unknown")
    disagreeing = sum(note["topic"] == "margin" for note in notes)
    if disagreeing:
        text += f" {disagreeing} numbers by sex or race/ethnicity do not agree with the intersectional categories."
    return text
