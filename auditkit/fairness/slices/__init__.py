"""Where is it unfair? The slices of the rows with the worst loss: found on one half, confirmed on the other.

    found = find_slices(columns, prediction != label)
    found.slices[0].text, found.slices[0].confirmed

A slice is the rows that fulfil one or a few conditions on columns, any columns. `search.py` finds the worst of all
slices exactly; `confirm.py` tests those few on rows the search has not seen. Only confirmed slices are found slices;
the others are listed as not confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column
from auditkit.fairness.slices.confirm import confirm_slices
from auditkit.fairness.slices.halves import Halves, split_rows
from auditkit.fairness.slices.predicates import Coded, Predicate
from auditkit.fairness.slices.search import CAUTION, Candidate, rank_slices

__all__ = ["Predicate", "Slice", "SliceSearch", "find_slices"]

AND = " and "
_POOL = 200
_ALIKE = 0.5
"""Slices that share more of their rows than this (of the rows in either) are told once, by the worse of them."""


_NAMES, _COUNT, _NUMBER = pa.list_(pa.string()), pa.int64(), pa.float64()
SCHEMA = pa.schema(
    {"slice": pa.string(), "conditions": _NAMES, "columns": _NAMES, "n": _COUNT, "search_n": _COUNT}
    | {"search_loss": _NUMBER, "confirm_n": _COUNT, "confirm_loss": _NUMBER, "loss_lower": _NUMBER}
    | {"loss_upper": _NUMBER, "gap": _NUMBER, "lower": _NUMBER, "upper": _NUMBER, "p": _NUMBER}
    | {"adjusted_p": _NUMBER, "confirmed": pa.bool_(), "score": _NUMBER, "unit": pa.string(), "reason": pa.string()}
)
"""The columns of `SliceSearch.table`: those of `Slice`, with the conditions as text and the columns they speak of."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows that fulfil all `conditions`. Numbers are None where `reason` says why there are none.

    n: rows in both halves. search_loss: mean loss in the half it was found in, hence too high; confirm_loss: in the
    other half, with loss_lower and loss_upper. gap: how far that lies above the mean loss of the rest of its half, with
    lower and upper; intervals hold for all slices listed at once. p: one-sided; adjusted_p: over all listed (Holm).
    """

    conditions: tuple[Predicate, ...]
    score: float
    n: int
    search_n: int
    search_loss: float
    confirm_n: int
    confirm_loss: float | None
    loss_lower: float | None
    loss_upper: float | None
    gap: float | None
    lower: float | None
    upper: float | None
    p: float | None
    adjusted_p: float | None
    confirmed: bool
    reason: str = ""

    @property
    def text(self) -> str:
        """The conditions as a person reads them, such as `sex = Female and hours < 35`."""
        return AND.join(condition.text for condition in self.conditions)

    def holds(self, columns: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        """Which rows of a table belong to the slice, bool [n]. columns: as `find_slices` takes them."""
        masks = [
            condition.holds(as_column(columns[condition.column], condition.column)) for condition in self.conditions
        ]
        return np.logical_and.reduce(masks)


@dataclass(frozen=True)
class SliceSearch:
    """What a search found. `slices`: the worst, worst first by the half that was searched, confirmed or not.

    overall: mean loss of all rows; binary: losses are 0 and 1. predicates: conditions tried; scored: slices scored
    rather than ruled out by a bound. unsearched: columns without any condition that enough rows fulfil.
    """

    slices: tuple[Slice, ...]
    overall: float
    binary: bool
    rows: int
    search_rows: int
    confirm_rows: int
    depth: int
    minimum_rows: int
    confidence: float
    seed: int
    predicates: int
    scored: int
    unsearched: tuple[str, ...]

    @property
    def found(self) -> tuple[Slice, ...]:
        """The confirmed slices."""
        return tuple(one for one in self.slices if one.confirmed)

    def table(self) -> pa.Table:
        """One record per slice; `unit` is `rate` where losses are 0 and 1, the columns are as in `SCHEMA`."""
        same = {"unit": "rate" if self.binary else ""}
        records = [
            {name: getattr(one, name, None) for name in SCHEMA.names}
            | {"slice": one.text, "conditions": [condition.text for condition in one.conditions]}
            | {"columns": [condition.column for condition in one.conditions]}
            | same
            for one in self.slices
        ]
        return pa.Table.from_pylist(records, SCHEMA)


def find_slices(
    columns: Mapping[str, Any],
    loss: npt.ArrayLike,
    *,
    depth: int = 2,
    minimum_rows: int | None = None,
    top: int = 5,
    seed: int = 0,
    confidence: float = 0.95,
    caution: float = CAUTION,
) -> SliceSearch:
    """Find the slices with the worst mean loss, and confirm them on rows that the search has not seen.

    columns: name → column [n] (Arrow, numpy, list, or a whole table or data frame). loss: [n], finite, not negative;
    for 0 and 1 (an error or none) test and intervals are exact. depth: the most conditions of a slice; 3 takes up to
    hundreds of times as long as 2. minimum_rows: fewest rows of a slice within the half that is searched; 1 % of it,
    at least 32, when left out. top: how many are tested; the fewer, the less each has to show. caution: standard errors
    that a slice has to lie above everybody to be looked at, see `search.py`. The result does not depend on the order
    of rows: which half a row falls in is told by a seeded hash of what it holds.

    Raises InputError for columns of different lengths, losses that are none, or too few rows to search.

    >>> sex, hours = np.array(["f", "m"] * 1600), np.arange(3200) // 2 % 80
    >>> found = find_slices({"sex": sex, "hours": hours}, (sex == "f") & (hours < 20), top=1)
    >>> found.slices[0].text, found.slices[0].n, found.slices[0].confirmed
    ('sex = f and hours < 20', 400, True)
    """
    _sensible(depth, minimum_rows, top, seed, confidence, caution)
    halves = split_rows(columns, loss, minimum_rows, seed)
    return search_halves(halves, depth=depth, top=top, seed=seed, confidence=confidence, caution=caution)


def search_halves(
    halves: Halves,
    *,
    depth: int = 2,
    top: int = 5,
    seed: int = 0,
    confidence: float = 0.95,
    caution: float = CAUTION,
) -> SliceSearch:
    """`find_slices` in rows that are already split and coded."""
    searched, other, fewest = halves.search.columns, halves.confirm.columns, halves.minimum_rows
    ranking = rank_slices(
        searched, halves.search.loss, minimum_rows=fewest, depth=depth, size=max(_POOL, top), caution=caution
    )
    chosen = _distinct(ranking.candidates, searched, top)
    told = confirm_slices(
        [_inside(other, one) for one in chosen],
        halves.confirm.loss,
        confidence,
        np.random.default_rng([seed, 0x511CE]),
    )
    return SliceSearch(
        slices=tuple(
            Slice(
                conditions=tuple(searched[at].predicates[place] for at, place in one.members),
                score=one.score,
                n=one.n + seen.n,
                search_n=one.n,
                search_loss=one.total / one.n,
                confirm_n=seen.n,
                confirm_loss=seen.loss,
                loss_lower=seen.loss_lower,
                loss_upper=seen.loss_upper,
                gap=seen.gap,
                lower=seen.lower,
                upper=seen.upper,
                p=seen.p,
                adjusted_p=seen.adjusted_p,
                confirmed=seen.confirmed,
                reason=seen.reason,
            )
            for one, seen in zip(chosen, told, strict=True)
        ),
        overall=halves.mean,
        binary=halves.binary,
        rows=halves.rows,
        search_rows=len(halves.search.loss),
        confirm_rows=len(halves.confirm.loss),
        depth=depth,
        minimum_rows=fewest,
        confidence=confidence,
        seed=seed,
        predicates=sum(len(column.predicates) for column in searched),
        scored=ranking.scored,
        unsearched=tuple(column.name for column in searched if not column.predicates),
    )


def _inside(columns: list[Coded], one: Candidate) -> npt.NDArray[np.bool_]:
    return np.logical_and.reduce([columns[at].member[place][columns[at].codes] for at, place in one.members])


def _distinct(candidates: list[Candidate], columns: list[Coded], top: int) -> list[Candidate]:
    """The first `top` that do not share most of their rows with one before."""
    chosen: list[tuple[Candidate, npt.NDArray[np.bool_]]] = []
    for one in candidates:
        if len(chosen) == top:
            break
        inside = _inside(columns, one)
        shared = (((inside & rows).sum(), other.n) for other, rows in chosen)
        if all(both <= _ALIKE * (one.n + n - both) for both, n in shared):
            chosen.append((one, inside))
    return [one for one, _ in chosen]


def _sensible(depth: int, minimum_rows: int | None, top: int, seed: int, confidence: float, caution: float) -> None:
    for name, value, least in (
        ("depth", depth, 1),
        ("minimum_rows", minimum_rows, 1),
        ("top", top, 1),
        ("seed", seed, 0),
    ):
        if value is not None and value < least:
            raise InputError(f"slices: {name} must be at least {least}, got {value}")
    if not 0.5 < confidence < 1:
        raise InputError(f"slices: confidence must lie between 0.5 and 1, got {confidence:g}; 0.95 is usual")
    if not 0 <= caution < 100:
        raise InputError(
            f"slices: caution must be at least 0 and below 100 standard errors, got {caution:g}; 4 is usual"
        )
