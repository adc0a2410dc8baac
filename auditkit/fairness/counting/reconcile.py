"""Do tables of counts of the same people agree? Margins that do not add up are named, in rows.

Counts by sex, by race and by both are often made by different queries on different days. Two tables of the same rows
must agree on whatever they share: the attributes that both have, and the total. Where they do not, one of them lacks
rows or counts some twice, and neither can be trusted until it is known which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from auditkit.evidence.metrics import Caveat
from auditkit.fairness.counting.counts import Counts, joined
from auditkit.fairness.counting.suppression import SuppressedCounts

QUANTITIES = ("rows", "positive labels", "positive decisions")


@dataclass(frozen=True, slots=True)
class Difference:
    """A number that two tables state differently. group: empty for the total; `first` and `second` are their names."""

    first: str
    second: str
    group: str
    quantity: str
    first_count: int
    second_count: int

    @property
    def by(self) -> int:
        """How many more the first table has."""
        return self.first_count - self.second_count

    def __str__(self) -> str:
        of = self.group or "in total"
        return (
            f"{of}: {self.first_count:,} {self.quantity} in {self.first!r}, {self.second_count:,} in {self.second!r} "
            f"({self.by:+,})"
        )


def reconcile(tables: Mapping[str, Counts]) -> list[Difference]:
    """Where tables of the same rows disagree: name → counts; every two are compared on the attributes they share.

    Numbers that are withheld are not compared. An empty list: they agree.

    >>> import numpy as np
    >>> by_sex = Counts(("sex",), (("f",), ("m",)), np.array([[[3, 1], [0, 0]], [[2, 2], [0, 0]]]))
    >>> by_race = Counts(("race",), (("a",), ("b",)), np.array([[[3, 1], [0, 0]], [[2, 1], [0, 0]]]))
    >>> [str(each) for each in reconcile({"by sex": by_sex, "by race": by_race})]
    ["in total: 8 rows in 'by sex', 7 in 'by race' (+1)", "in total: 3 positive decisions in 'by sex', 2 in 'by race' \
(+1)"]
    """
    return [
        difference
        for (first, one), (second, other) in combinations(tables.items(), 2)
        for shared in _shared(one, other)
        for difference in _differences(first, one.margin(shared), second, other.margin(shared))
    ]


def disagreement_caveats(tables: Mapping[str, Counts]) -> list[Caveat]:
    """The same as caveats of a check."""
    return [Caveat("fairness", f"counts do not reconcile: {each}", "fairness/counts") for each in reconcile(tables)]


def _shared(one: Counts, other: Counts) -> list[tuple[str, ...]]:
    """What both tables can be summed to: each attribute, all of them, and everybody."""
    both = tuple(name for name in one.attributes if name in other.attributes)
    shared = dict.fromkeys([both, *((name,) for name in both), ()])
    return [names for names in shared if all(_published(table, names) for table in (one, other))]


def _published(counts: Counts, attributes: tuple[str, ...]) -> bool:
    return not isinstance(counts, SuppressedCounts) or attributes in counts.margins


def _differences(first: str, one: Counts, second: str, other: Counts) -> Iterator[Difference]:
    mine, theirs = _numbers(one), _numbers(other)
    for group in dict.fromkeys([*mine, *theirs]):
        for quantity in QUANTITIES:
            left = mine[group][quantity] if group in mine else 0
            right = theirs[group][quantity] if group in theirs else 0
            if left is not None and right is not None and left != right:
                of = ", ".join(f"{name} {value}" for name, value in zip(one.attributes, group, strict=True))
                yield Difference(first, second, of, quantity, left, right)


def _numbers(counts: Counts) -> dict[tuple[str, ...], dict[str, int | None]]:
    """Group → quantity → number, None where it is withheld."""
    found: dict[tuple[str, ...], dict[str, int | None]] = {}
    hidden = set(counts.incomplete) if isinstance(counts, SuppressedCounts) else set()
    for group, cells in zip(counts.groups, counts.cells, strict=True):
        numbers = (int(cells.sum()), int(cells[1].sum()), int(cells[:, 1].sum()))
        whole = joined(group) not in hidden
        found[group] = {name: n if whole else None for name, n in zip(QUANTITIES, numbers, strict=True)}
    return found
