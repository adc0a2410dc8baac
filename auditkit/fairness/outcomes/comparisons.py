"""Groups that are compared by a number, and the pair of them behind a gap.

The numbers, their errors and the bounds for all pairs at once are those of `auditkit.statistics.estimates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.counting.counts import GroupCodes, joined
from auditkit.fairness.groups.definitions import Kind
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.settings import Settings
from auditkit.statistics.estimates import Estimates, Floats, Integers, differences, folded
from auditkit.statistics.simultaneous import Pairs

__all__ = ["Estimates", "Floats", "Grouping", "Integers", "differences", "folded", "groupings", "widest"]


@dataclass(frozen=True)
class Grouping:
    """One attribute, or several crossed: its groups' names and the place among them of each of the finest groups."""

    attribute: str
    names: list[str]
    places: Integers


def groupings(groups: GroupCodes, settings: Settings) -> tuple[list[Grouping], list[str]]:
    """Everybody as one group, then all attributes and their intersections; and those with too many groups to compare.

    >>> both = GroupCodes(("sex", "age"), (("f", "old"), ("m", "old"), ("m", "young")), np.array([0, 1, 2]), {})
    >>> [(found.attribute, found.places.tolist()) for found in groupings(both, Settings())[0]]
    [('', [0, 0, 0]), ('sex', [0, 1, 1]), ('age', [0, 0, 1]), ('sex × age', [0, 1, 2])]
    """
    found, left_out = [Grouping("", [""], np.zeros(len(groups.groups), dtype=np.int64))], []
    for attributes in subsets(groups.attributes, settings.intersections):
        keep = [groups.attributes.index(name) for name in attributes]
        projected = [tuple(group[place] for place in keep) for group in groups.groups]
        occurring = sorted(set(projected))
        place = {group: at for at, group in enumerate(occurring)}
        if len(occurring) > MAXIMUM_INTERSECTION:
            left_out.append(joined(attributes))
            continue
        places = np.array([place[group] for group in projected], dtype=np.int64)
        found.append(Grouping(joined(attributes), [joined(group) for group in occurring], places))
    return found, left_out


def widest(kind: Kind, pairs: Pairs, value: Floats, names: Sequence[str]) -> str:
    """The pair behind the gap: larger – smaller for a difference, smaller / larger for a ratio."""
    at = int(np.abs(pairs.estimate).argmax() if kind == "difference" else pairs.estimate.argmin())
    first, second = int(pairs.first[at]), int(pairs.second[at])
    high, low = (first, second) if value[first] >= value[second] else (second, first)
    return f"{names[high]} – {names[low]}" if kind == "difference" else f"{names[low]} / {names[high]}"
