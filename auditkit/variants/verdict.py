"""The verdict on a variant, in a sentence: what got worse beyond chance, for whom; or how much worse it could be.

Of a classifier that is measured by its accuracy, of a model of numbers by its mean absolute error.
"""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.theme import interval, number
from auditkit.variants.differences import Compared

MOST_NAMED = 4
MAIN = ("accuracy", "mae")
"""the figure over all rows that a variant stands or falls by"""


def sentence_of(
    name: str, compared: Sequence[Compared], churned: Sequence[tuple[str, str, int, int]] | None, confidence: float
) -> str:
    """What got worse beyond chance, with intervals; where nothing did, how much may still have been lost.

    churned: whose decisions changed, the first line over everybody; None where nothing is decided.
    """
    worse = [one for one in compared if one.judged(confidence) == "worse"]
    better = [one for one in compared if one.judged(confidence) == "better"]
    main = next(one for one in compared if one.metric in MAIN and not one.attribute)
    if worse:
        worse = sorted(worse, key=lambda one: one.p_adjusted or 0.0)
        listed = "; ".join(_told(one) for one in worse[:MOST_NAMED])
        more = f"; and {len(worse) - MOST_NAMED} more" if len(worse) > MOST_NAMED else ""
        said = f"{name} is worse beyond chance in {listed}{more}"
        if not any(one.metric in MAIN and not one.attribute for one in worse):
            said += f", while {main.measure.title} over all rows is not ({_change(main)})"
    else:
        way, most = "lower", max(0.0, -main.difference.lower)
        if main.measure.better == "lower":
            way, most = "higher", max(0.0, main.difference.upper)
        lost = f"at most {number(most, main.measure.change_unit, 0.0, most)} {way}" if most > 0 else f"no {way}"
        said = f"nothing about {name} is worse beyond chance; {main.measure.title} is {lost}"
    if better:
        said += f"; better in {', '.join(dict.fromkeys(title_of(one) for one in better[:MOST_NAMED]))}"
    said = f"{said}; {_changed(compared, churned)}."
    return said[0].upper() + said[1:] if not worse else said


def _changed(compared: Sequence[Compared], churned: Sequence[tuple[str, str, int, int]] | None) -> str:
    """How many decisions changed, or by how much numbers did."""
    if churned is None:
        move = next(one for one in compared if one.metric == "move")
        size = number(move.value, "", move.difference.lower, move.difference.upper)
        return f"predictions move by {size} on average" if move.value else "no prediction changed"
    _, _, changed, rows = churned[0]
    return f"{number(changed / rows, 'rate')} of decisions changed" if changed else "no decision changed"


def title_of(one: Compared) -> str:
    """What a difference is of, in words.

    >>> from auditkit.variants.paired import Difference
    >>> nothing = Difference(0.0, 0.0, 0.0, 1.0, "")
    >>> title_of(Compared("int8", "accuracy", 0.9, 0.9, nothing, 9, attribute="sex", group="Female"))
    'accuracy for Female (sex)'
    """
    title = one.measure.title
    if one.group:
        return f"{title} for {one.group} ({one.attribute})"
    if one.attribute:
        return f"{title} ({one.attribute})"
    return f"{title} on {one.split} ({one.detector})" if one.split else title


def _told(one: Compared) -> str:
    return f"{title_of(one)} ({_change(one)})"


def _change(one: Compared) -> str:
    unit, change = one.measure.change_unit, one.difference
    sign = "+" if change.value > 0 else ""
    return (
        f"{sign}{number(change.value, unit, change.lower, change.upper)} {interval(change.lower, change.upper, unit)}"
    )
