"""Worst-slice search: how often a planted slice is found, how often there is a false find, and how fast it is.

The table has 30 columns: 20 categories of two to ten values and 10 numbers. The planted slice fulfils two conditions,
has 2 % of rows and an error rate 15 points above the 10 % of everybody else. The exhaustive search in pandas is given
columns already cut into the same bins: once over the same slices, each selected by a mask, and once by `groupby` of
every pair of columns, which is quicker but covers of numbers only single bins, no runs of them.
"""

import itertools
import statistics
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.fairness.slices import find_slices
from auditkit.fairness.slices.predicates import Coded, code
from auditkit.fairness.slices.search import CAUTION, rank_slices

TITLE = "Worst-slice search"
PLANTED = "region = north and job = cook"
ROWS = 100_000


def planted(rows: int, seed: int, extra: float = 0.15) -> tuple[dict[str, npt.NDArray], npt.NDArray[np.float64]]:
    """30 columns, and errors with `extra` more of them in the planted slice."""
    rng = np.random.default_rng([seed, 30])
    columns: dict[str, npt.NDArray] = {
        "region": np.array(["north", "south", "east", "west"])[rng.choice(4, rows, p=[0.2, 0.3, 0.3, 0.2])],
        "job": np.array(["cook", "clerk", "nurse", "smith", "tailor"])[
            rng.choice(5, rows, p=[0.1, 0.2, 0.3, 0.2, 0.2])
        ],
    }
    for at in range(18):
        columns[f"category {at}"] = np.array([f"value {k}" for k in range(2 + at % 9)])[
            rng.integers(2 + at % 9, size=rows)
        ]
    for at in range(10):
        columns[f"number {at}"] = rng.normal(size=rows) if at % 2 else np.round(rng.gamma(3, 10, size=rows))
    inside = (columns["region"] == "north") & (columns["job"] == "cook")
    return columns, (rng.random(rows) < 0.1 + extra * inside).astype(np.float64)


def exhaustive(bins: Any, loss: npt.NDArray[np.float64], minimum: int) -> tuple[float, tuple[str, ...]]:
    """The best score of all slices of one and two conditions, by grouping a data frame of categories."""
    frame, names = bins.assign(loss=loss), list(bins.columns)
    best: tuple[float, tuple[str, ...]] = (0.0, ())
    for chosen in [*((name,) for name in names), *itertools.combinations(names, 2)]:
        found = frame.groupby(list(chosen), observed=True)["loss"].agg(["size", "mean"])
        found = found[found["size"] >= minimum]
        score = (found["mean"] - CAUTION * loss.std() / found["size"] ** 0.5) / loss.mean() - 1
        if len(score) and score.max() > best[0]:
            best = float(score.max()), (*chosen, str(score.idxmax()))
    return best


def by_masks(frame: Any, coded: list[Coded], minimum: int) -> tuple[float, str]:
    """The best score of the very slices that `rank_slices` covers, by selecting from a data frame for each."""
    every = [
        [
            (predicate.text, member[column.codes])
            for predicate, member in zip(column.predicates, column.member, strict=True)
        ]
        for column in coded
    ]
    overall, spread, best = frame["loss"].mean(), frame["loss"].std(ddof=0), (0.0, "")
    slices = [mask for column in every for mask in column]
    pairs = (
        (f"{a} and {b}", mine & other)
        for left, right in itertools.combinations(every, 2)
        for a, mine in left
        for b, other in right
    )
    for text, mask in itertools.chain(slices, pairs):
        found = frame["loss"][mask]
        if len(found) >= minimum:
            score = (found.mean() - CAUTION * spread / len(found) ** 0.5) / overall - 1
            best = max(best, (score, text))
    return best


def only_single_bins(column: Coded) -> Coded:
    single = column.member.sum(axis=1) == 1
    predicates = tuple(itertools.compress(column.predicates, single))
    return Coded(column.name, column.codes, predicates, column.member[single])


def speed(runs: int) -> list[dict[str, str]]:
    import pandas as pd

    columns, loss = planted(ROWS, 0)
    minimum = ROWS // 100
    arrow = pa.table(columns)
    coded = [code(name, column.combine_chunks(), minimum) for name, column in zip(columns, arrow.columns, strict=True)]
    single = [only_single_bins(column) for column in coded]
    bins = pd.DataFrame({column.name: pd.Categorical(column.codes) for column in coded})
    text = pd.DataFrame({name: column if column.dtype.kind == "U" else bins[name] for name, column in columns.items()})
    taken: dict[str, list[float]] = {"ours": [], "single": [], "whole": [], "pandas": [], "text": [], "masks": []}
    for run in range(runs):
        for name, call in (
            ("ours", lambda: rank_slices(coded, loss, minimum_rows=minimum)),
            ("single", lambda: rank_slices(single, loss, minimum_rows=minimum, size=1)),
            ("whole", lambda: find_slices(arrow, loss)),
            ("pandas", lambda: exhaustive(bins, loss, minimum)),
            ("text", lambda: exhaustive(text, loss, minimum)),
            ("masks", lambda: by_masks(text.assign(loss=loss), coded, minimum)),
        ):
            if run and name in ("pandas", "text", "masks"):
                continue
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    ours, alone, whole, frame, plain, masks = (statistics.median(times) for times in taken.values())
    slices = sum(len(a.predicates) * len(b.predicates) for a, b in itertools.combinations(coded, 2))
    what = f"{ROWS:,} rows × 30 columns, two conditions"
    return [
        {"what": f"search, {what}, {slices:,} slices", "result": f"{ours:.3f} s", "against": ""},
        {
            "what": "exhaustive pandas, the same slices, each selected by a mask",
            "result": f"{masks:.1f} s",
            "against": f"{masks / ours:.0f} times ours, {masks / whole:.0f} times the whole of find_slices",
        },
        {"what": "search, single bins only, the one worst slice", "result": f"{alone:.3f} s", "against": ""},
        {
            "what": "exhaustive pandas, groupby, binned columns as categories, single bins only",
            "result": f"{frame:.2f} s",
            "against": f"{frame / alone:.0f} times ours over single bins",
        },
        {
            "what": "exhaustive pandas, groupby, text as text, single bins only",
            "result": f"{plain:.2f} s",
            "against": f"{plain / alone:.0f} times ours over single bins",
        },
        {
            "what": f"find_slices, {what}: coding, split, search and confirmation",
            "result": f"{whole:.3f} s",
            "against": f"the pandas searches alone take {frame / whole:.0f} and {plain / whole:.0f} times as long",
        },
    ]


def rows(seeds: int = 100, runs: int = 5) -> list[dict[str, str]]:
    made = speed(runs)
    for size in (10_000, 20_000, 50_000):
        led = first = false = 0
        for seed in range(seeds):
            told = find_slices(*planted(size, seed), seed=seed)
            led += bool(told.slices) and told.slices[0].text == PLANTED and told.slices[0].confirmed
            first += bool(told.found) and told.found[0].text == PLANTED
            false += bool(find_slices(*planted(size, seed, extra=0.0), seed=seed).found)
        made += [
            {
                "what": f"planted slice, {size:,} rows, {seeds} seeds",
                "result": f"first of those confirmed: {first}; also led the half that was searched: {led}",
                "against": "asked for: 95 of 100",
            },
            {
                "what": f"no slice, {size:,} rows, {seeds} seeds",
                "result": f"runs with a false find: {false}",
                "against": "asked for: at most 5 of 100",
            },
        ]
    return made
