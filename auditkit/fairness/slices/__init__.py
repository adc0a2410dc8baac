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
from auditkit.fairness.columns import as_column, as_columns, as_numbers
from auditkit.fairness.slices.confirm import confirm_slices, hash_split
from auditkit.fairness.slices.predicates import Coded, Predicate, code
from auditkit.fairness.slices.search import ALPHA, Candidate, rank_slices

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
    alpha: float = ALPHA,
) -> SliceSearch:
    """Find the slices with the worst mean loss, and confirm them on rows that the search has not seen.

    columns: name → column [n] (Arrow, numpy, list, or a whole table or data frame). loss: [n], finite, not negative;
    for 0 and 1 (an error or none) test and intervals are exact. depth: the most conditions of a slice; 3 takes up to
    hundreds of times as long as 2. minimum_rows: fewest rows of a slice within the half that is searched; 1 % of it,
    at least 32, when left out. top: how many are tested; the fewer, the less each has to show. alpha: weight of the
    loss against the size, see `search.py`. The result does not depend on the order of rows.

    Raises InputError for columns of different lengths, losses that are none, or too few rows to search.

    >>> sex, hours = np.array(["f", "m"] * 1600), np.arange(3200) // 2 % 80
    >>> found = find_slices({"sex": sex, "hours": hours}, (sex == "f") & (hours < 20), top=1)
    >>> found.slices[0].text, found.slices[0].n, found.slices[0].confirmed
    ('sex = f and hours < 20', 400, True)
    """
    named = as_columns(columns, "columns")
    losses = _losses(loss, named)
    _sensible(depth, minimum_rows, top, seed, confidence, alpha)
    fewest = max(32, -(-len(losses) // 200)) if minimum_rows is None else minimum_rows
    coded = [code(name, column, fewest) for name, column in named.items()]
    order, first = hash_split([column.codes for column in coded], losses, seed)
    halves = order[first], order[~first]
    if len(halves[0]) < fewest or not len(halves[1]):
        raise InputError(
            f"{len(losses):,} rows are too few to search one half for slices of at least {fewest:,} rows and confirm "
            "them on the other; give more rows or a smaller minimum_rows"
        )
    searched, other = ([_part(column, half) for column in coded] for half in halves)
    ranking = rank_slices(
        searched, losses[halves[0]], minimum_rows=fewest, depth=depth, size=max(_POOL, top), alpha=alpha
    )
    chosen = _distinct(ranking.candidates, searched, top)
    told = confirm_slices(
        [_inside(other, one) for one in chosen], losses[halves[1]], confidence, np.random.default_rng([seed, 0x511CE])
    )
    return SliceSearch(
        slices=tuple(
            Slice(
                conditions=tuple(coded[at].predicates[place] for at, place in one.members),
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
        overall=float(losses[order].mean()),
        binary=bool(np.isin(losses, (0.0, 1.0)).all()),
        rows=len(losses),
        search_rows=len(halves[0]),
        confirm_rows=len(halves[1]),
        depth=depth,
        minimum_rows=fewest,
        confidence=confidence,
        seed=seed,
        predicates=sum(len(column.predicates) for column in coded),
        scored=ranking.scored,
        unsearched=tuple(column.name for column in coded if not column.predicates),
    )


def _part(column: Coded, rows: npt.NDArray) -> Coded:
    return Coded(column.name, column.codes[rows], column.predicates, column.member)


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


def _losses(loss: npt.ArrayLike, columns: Mapping[str, pa.Array]) -> npt.NDArray[np.float64]:
    column = as_column(loss, "loss")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    losses = as_numbers(column, "loss", "slices") + 0.0
    if (losses < 0).any():
        raise InputError(
            f"slices: loss is negative, first in row {int((losses < 0).argmax()) + 1:,}; give errors as 0 and 1, or "
            "losses of which none is below zero"
        )
    if not columns:
        raise InputError("slices: no column was given; give at least one to look for slices in")
    for name, values in columns.items():
        if len(values) != len(losses):
            raise InputError(
                f"slices: column {name!r} has {len(values):,} rows, loss {len(losses):,}; give one value for each row"
            )
    return losses


def _sensible(depth: int, minimum_rows: int | None, top: int, seed: int, confidence: float, alpha: float) -> None:
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
    if not 0 < alpha <= 1:
        raise InputError(f"slices: alpha must lie above 0 and not above 1, got {alpha:g}")
