"""Many groups in one figure: which of them get a line of their own, and what is said of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_LINES = 14
ENDS = 6
"""Of more than `MOST_LINES` groups, as many are drawn from either end."""


@dataclass(frozen=True)
class Lines:
    """The lines of a figure. place: group → its line, from above; between: how many groups have none.

    labels: line → what stands beside it, of lines that are no group's. deep: how many lines there are. title: what the
    figure's title says of the choice.
    """

    place: dict[str, int]
    between: int
    labels: dict[int, str]
    deep: int
    title: str


def lines_of(values: Mapping[str, float | None], what: str = "selection rate") -> Lines:
    """A line for each group; of many, for those with the lowest and the highest values, below a strip of all.

    values: group → the number that ranks it, None where there is none.

    >>> lines_of({"a": 0.5, "b": None}).place
    {'a': 0, 'b': 1}
    >>> many = lines_of({str(n): n / 100 for n in range(40)})
    >>> list(many.place)[4:8], many.between, many.labels[0]
    (['4', '5', '34', '35'], 28, 'all 40 groups')
    """
    if len(values) <= MOST_LINES:
        return Lines({group: at for at, group in enumerate(values)}, 0, {}, len(values), "")
    ranked = sorted((group for group in values if values[group] is not None), key=lambda group: values[group] or 0.0)
    lowest = ranked[:ENDS]
    highest = ranked[max(len(lowest), len(ranked) - ENDS) :]
    place = {group: 1 + at for at, group in enumerate(lowest)}
    place |= {group: 2 + len(lowest) + at for at, group in enumerate(highest)}
    left, judged = len(values) - len(place), len(ranked)
    parts = [f"… {judged - len(place)} between"] if judged > len(place) else []
    parts += [f"{len(values) - judged} not judged"] if judged < len(values) else []
    labels = {0: f"all {judged} groups" if judged == len(values) else f"all {judged} judged groups"}
    labels[1 + len(lowest)] = ", ".join(parts)
    return Lines(place, left, labels, 2 + len(place), f": lowest and highest by {what}, of {len(values)}")
