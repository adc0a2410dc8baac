"""Attention of groups against their due, query by query, and how sure it is.

A group's attention in a query is the sum over its candidates. Its due is what it would get by another rule,

    by number      every candidate gets the query's mean attention: a ranking at random
    by relevance   attention is handed out in proportion to relevance

and both are summed over the queries. The ratio of attention to due is 1 where a group gets its due. For one query the
ratio of two groups' ratios is the ratio of their mean exposures (demographic parity of exposure) or of exposure per
relevance (disparate treatment) of Singh and Joachims (2018), "Fairness of Exposure in Rankings", KDD; over queries of
different lengths it does not mistake a group that appears in short lists for one that is ranked high.

Intervals: from 10 queries on whole queries are resampled. Below that, the candidates within each query are, and ranked
again: the candidates of a query are then a sample of those who could be ranked. Half a first place is added to
attention and due, so that logarithms stay finite, and errors are never below those of places dealt out by chance where
resamples know too little of them (`least_variances`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.fairness.outcomes.positions import Floats, Integers, Positions
from auditkit.statistics.resampling import cluster_replicates

FEWEST_QUERIES = 10
WORK, FEWEST_DRAWS, MOST_DRAWS = 100_000_000, 200, 1000
EXACT_ROWS, SINGLE_ROWS, NEAR = 100_000, 20_000, 200
FEW = 20


@dataclass(frozen=True)
class Totals:
    """Per query and group: what was got and what was due, float64 [queries, groups]. half: half of a first place."""

    got: Floats
    due: Floats
    half: float = 0.0

    def added(self, places: Integers, groups: int) -> Totals:
        """Groups put together: those with the same place, of which there are `groups`."""
        got, due = np.zeros((2, len(self.got), groups))
        np.add.at(got.T, places, self.got.T)
        np.add.at(due.T, places, self.due.T)
        return Totals(got, due, self.half)

    def ratio(self) -> Floats:
        """What was got over what was due, [groups]; NaN where nothing was due."""
        got, due = self.got.sum(axis=0), self.due.sum(axis=0)
        return np.divide(got, due, out=np.full(len(due), np.nan), where=due > 0)


def totals(positions: Positions, codes: Integers, groups: int, cumulative: Floats, relevance: Floats | None) -> Totals:
    """Attention and due of each query and group. codes: int64 [n], relevance: float64 [n], both as ordered.

    Queries without relevance have no due by relevance: nothing of them is counted.
    """
    attention, queries = positions.attention(cumulative), len(positions.sizes)

    def table(values: Floats) -> Floats:
        flat = np.bincount(positions.query * groups + codes, values, minlength=queries * groups)
        return np.asarray(flat.reshape(queries, groups), dtype=np.float64)

    whole = cumulative[positions.sizes]
    if relevance is None:
        return Totals(table(attention), table((whole / positions.sizes)[positions.query]), cumulative[1] / 2)
    merit = np.bincount(positions.query, relevance, minlength=queries)
    share = np.divide(whole, merit, out=np.zeros(queries), where=merit > 0)
    counted = (merit > 0)[positions.query]
    return Totals(table(attention * counted), table(relevance * share[positions.query]), cumulative[1] / 2)


def query_replicates(found: Totals, rng: np.random.Generator, draws: int) -> tuple[Floats, Floats]:
    """Got and due of resampled queries, float64 [groups, draws] each."""
    queries, groups = found.got.shape
    both = np.concatenate([found.got, found.due], axis=1)
    at, cell = np.nonzero(both)
    strata = np.zeros(queries, dtype=np.int64)
    drawn = cluster_replicates((at, cell, both[at, cell]), 2 * groups, strata, draws, rng)
    return drawn[:groups], drawn[groups:]


def candidate_replicates(
    positions: Positions,
    codes: Integers,
    groups: int,
    cumulative: Floats,
    relevance: Floats | None,
    rng: np.random.Generator,
    draws: int,
) -> tuple[Floats, Floats]:
    """Got and due when the candidates of every query are resampled and ranked anew, [groups, draws] each.

    Of many candidates those with nearly the same position are drawn together (`_cells`).
    """
    cells = _cells(positions, codes, groups, relevance)
    draws = int(np.clip(WORK // 20 // len(cells.codes), FEWEST_DRAWS, min(draws, MOST_DRAWS)))
    got, due = np.zeros((2, groups, draws))
    whole = cumulative[positions.sizes]
    parts = [slice(*np.searchsorted(cells.query, (q, q + 1))) for q in range(len(positions.sizes))]
    run_query = cells.query[cells.run_starts[:-1]]
    for draw in range(draws):
        times = np.concatenate([_again(cells.rows[part], rng) for part in parts])
        reached = np.append(0, np.cumsum(times))
        begin = reached[cells.run_starts[:-1]] - positions.starts[run_query]
        end = reached[cells.run_starts[1:]] - positions.starts[run_query]
        held = end - begin
        mean = np.divide(cumulative[end] - cumulative[begin], held, out=np.zeros(len(held)), where=held > 0)
        attention = times * mean[cells.run]
        if relevance is None:
            owed = times * (whole / positions.sizes)[cells.query]
        else:
            worth = times * cells.relevance
            if cells.spread.any():
                noise = rng.standard_normal(len(times))
                worth = np.maximum(worth + np.sqrt(times) * cells.spread * noise, 0.0)
            merit = np.bincount(cells.query, worth, minlength=len(whole))
            share = np.divide(whole, merit, out=np.zeros(len(whole)), where=merit > 0)
            attention = attention * (merit > 0)[cells.query]
            owed = worth * share[cells.query]
        got[:, draw] = np.bincount(cells.codes, attention, minlength=groups)
        due[:, draw] = np.bincount(cells.codes, owed, minlength=groups)
    return got, due


@dataclass(frozen=True)
class _Cells:
    """Candidates that are drawn together, in order: query, run, codes and rows: int64 [cells]; relevance, spread:
    float64 [cells], its mean and standard deviation over the rows; run_starts: int64 [runs + 1]."""

    query: Integers
    run: Integers
    codes: Integers
    rows: Integers
    relevance: Floats
    spread: Floats
    run_starts: Integers


def _cells(positions: Positions, codes: Integers, groups: int, relevance: Floats | None) -> _Cells:
    """Each candidate by itself; beyond 20,000 those of a group whose positions are within half a percent together."""
    worth = np.zeros(len(codes)) if relevance is None else relevance
    if len(codes) <= SINGLE_ROWS:
        rows = np.ones(len(codes), dtype=np.int64)
        return _Cells(positions.query, positions.run, codes, rows, worth, np.zeros(len(codes)), positions.run_starts)
    first = (positions.run_starts[:-1] - positions.starts[positions.query[positions.run_starts[:-1]]])[positions.run]
    near = np.where(first < NEAR, first, NEAR + NEAR * np.log(np.maximum(first, 1) / NEAR)).astype(np.int64)
    block = positions.query * (int(near.max()) + 1) + near
    key, place = np.unique(block * groups + codes, return_inverse=True)
    n = np.bincount(place)
    mean = np.bincount(place, worth) / n
    block, run = np.unique(key // groups, return_inverse=True)
    return _Cells(
        query=(block // (int(near.max()) + 1))[run],
        run=run,
        codes=key % groups,
        rows=n,
        relevance=mean,
        spread=np.sqrt(np.bincount(place, (worth - mean[place]) ** 2) / n),
        run_starts=np.append(np.flatnonzero(np.append(True, np.diff(run) > 0)), len(run)),
    )


def _again(rows: Integers, rng: np.random.Generator) -> Integers:
    """How often the rows of each cell are drawn when as many rows are drawn as there are."""
    total = int(rows.sum())
    if total == len(rows):
        return np.bincount(rng.integers(total, size=total), minlength=total)
    return rng.multinomial(total, rows / total)


def logarithms(got: npt.NDArray, due: npt.NDArray, half: float) -> Floats:
    """The logarithm of got over due, half a first place added to both."""
    return np.asarray(np.log((got + half) / (due + half)))


def least_variances(positions: Positions, codes: Integers, found: Totals, attention: Floats, by_query: bool) -> Floats:
    """The least variance of each group's logarithm, [groups]: that of dealing out the places.

    Were every place given to a group by chance, the difference of two groups' got over due would have the variance
    f_i + f_j with f_g = Σ_q n_qg·S_q / (n_q - 1) / due_g², S_q the sum of squared deviations of attention in a query;
    what is got stands for one of the dues, as a group holds the more places the higher it is ranked. Resamples of
    candidates know too little of the first places, which always go to the same few rows; those of queries do not, and
    need it only where a group holds fewer than 20 places.
    """
    sizes, groups, queries = positions.sizes, found.got.shape[1], len(positions.sizes)
    mean = np.bincount(positions.query, attention, minlength=queries) / sizes
    squares = np.bincount(positions.query, (attention - mean[positions.query]) ** 2, minlength=queries)
    dealt = np.bincount(codes, (squares / np.maximum(sizes - 1, 1))[positions.query], minlength=groups)
    got, due = found.got.sum(axis=0), found.due.sum(axis=0)
    least = dealt / np.maximum((due + found.half) * (got + found.half), np.finfo(np.float64).tiny)
    if not by_query:
        return np.asarray(least)
    place = (attention**2).sum() / max(attention.sum(), np.finfo(np.float64).tiny)
    return np.where(got / place < FEW, least, 0.0)


def alike_p_value(
    positions: Positions, codes: Integers, groups: int, attention: Floats, rng: np.random.Generator, draws: int
) -> tuple[float, int, str]:
    """Whether groups get their due by number: p-value, draws and how they were made.

    The largest |z| over the groups, got against due, in standard deviations of dealing out the candidates of every
    query to their groups anew. Dealt up to 100,000 rows; beyond, drawn from the normal with the same covariances.
    """
    queries, sizes = len(positions.sizes), positions.sizes
    counts = np.bincount(positions.query * groups + codes, minlength=queries * groups).reshape(queries, groups)
    mean = np.bincount(positions.query, attention, minlength=queries) / sizes
    centred = attention - mean[positions.query]
    squares = np.bincount(positions.query, centred**2, minlength=queries)
    scale = squares / np.maximum(sizes - 1, 1) / sizes
    covariance = np.diag((scale * sizes) @ counts) - (counts * scale[:, None]).T @ counts
    spread = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), np.inf))
    observed = np.abs(np.bincount(codes, centred, minlength=groups)) / spread
    if len(codes) > EXACT_ROWS:
        values, vectors = np.linalg.eigh(covariance)
        noise = rng.standard_normal((groups, draws))
        deals = (vectors * np.sqrt(np.maximum(values, 0))) @ noise
        how = "normal draws with the covariances of dealing out"
    else:
        draws = int(np.clip(WORK // 2 // len(codes), FEWEST_DRAWS, min(draws, MOST_DRAWS)))
        deals = np.zeros((groups, draws))
        for draw in range(draws):
            keys = (
                rng.permutation(len(codes)) if queries == 1 else np.lexsort((rng.random(len(codes)), positions.query))
            )
            deals[:, draw] = np.bincount(codes[keys], centred, minlength=groups)
        how = "permutation of groups within queries"
    extreme = int(((np.abs(deals) / spread[:, None]).max(axis=0) >= observed.max() * (1 - 1e-9)).sum())
    return (1 + extreme) / (1 + draws), draws, how
