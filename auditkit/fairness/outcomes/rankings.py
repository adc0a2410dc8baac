"""Fairness of rankings: who is seen, who is in the top k, and whether relevance is rewarded alike.

Of every group, where 1 is its due (`auditkit.fairness.outcomes.attention`):

exposure                  logarithmic attention against that of a random order
geometric_exposure        the same for a reader who goes on with a chance of 0.8
top_k_representation      places among the first k against those of a random order: its share of them over its share of
                          the candidates
exposure_per_relevance    logarithmic attention against a due in proportion to relevance (disparate treatment)

and as rates:

ndcg                      mean NDCG of all queries, and by group where each query is of one group (that of who asked);
                          queries without relevance are left out. Where queries mix groups there is none by group: a
                          group's own list is shorter, and shorter lists have a higher NDCG by themselves
pairwise_accuracy         of pairs of a more relevant candidate of the group and a less relevant one of other groups,
                          the share in which the first is ranked higher (inter-group pairwise accuracy)

Gaps: the smallest ratio of two groups' (`exposure_ratio`, `geometric_exposure_ratio`, `top_10_ratio`,
`exposure_per_relevance_ratio`) or the largest difference (`ndcg_difference`, `pairwise_accuracy_difference`), with
bounds for all pairs at once. `exposure_p_value` and `top_10_p_value` tell whether any group is off its due beyond
chance. Ties in score share their positions (`auditkit.fairness.outcomes.positions`, where sources stand).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import GroupCodes
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.outcomes.attention import (
    FEWEST_QUERIES,
    Totals,
    alike_p_value,
    candidate_replicates,
    least_variances,
    logarithms,
    query_replicates,
    totals,
)
from auditkit.fairness.outcomes.comparisons import Grouping, groupings
from auditkit.fairness.outcomes.numbers import finite_numbers
from auditkit.fairness.outcomes.positions import MOST_LEVELS, Floats, ndcg, right_pairs
from auditkit.fairness.outcomes.ranked import Due, Rankings, dues, levels, query_codes, relevances
from auditkit.fairness.outcomes.ranked_rows import group_and_gap_rows, too_few
from auditkit.fairness.outcomes.resampled import Resampled
from auditkit.fairness.settings import Settings

FEWEST_PLACES = 10
_TOP = pa.schema(
    [("attribute", pa.string()), ("group", pa.string()), ("k", pa.int64()), ("candidates", pa.int64())]
    + [(name, pa.float64()) for name in ("candidate_share", "places", "place_share")]
)


def ranking_findings(
    groups: GroupCodes,
    scores: npt.ArrayLike,
    relevance: npt.ArrayLike | None = None,
    query: Any = None,
    top: Sequence[int] = (10, 100),
    settings: Settings | None = None,
    positions: bool = False,
) -> Findings:
    """All numbers by group and all gaps, as metric rows, and the table `ranking_top`: who holds the first k places.

    scores: numbers [n], as many as `groups.codes`, the highest ranked first; with `positions` the lowest, as 1 is the
    first place. relevance: numbers [n], 0 and up, where known. query: a column [n] of what each row was ranked for; one
    ranking of all rows where None. top: the k of the top k. Raises InputError for input that is not so.

    >>> codes = GroupCodes(("sex",), (("f",), ("m",)), np.tile([0, 1], 50), {})
    >>> found = ranking_findings(codes, np.arange(100.0), top=[10])
    >>> [round(row.value, 3) for row in found.metrics if row.metric == "top_10_ratio"]
    [1.0]
    """
    settings, n = settings or Settings(), len(groups.codes)
    score = finite_numbers(scores, "positions" if positions else "scores", n) * (-1.0 if positions else 1.0)
    worth = None if relevance is None else relevances(relevance, n)
    every = Rankings.of(groups.codes, score, worth, query_codes(query, n), len(groups.groups))
    chosen, left_out = groupings(groups, settings)
    found = Findings()
    records: list[dict[str, object]] = []
    for due in dues(levels(top), worth is not None):
        rows, made = _due_rows(every, due, chosen[1:], settings)
        found.metrics += rows
        records += made
    if worth is not None:
        for grouping in chosen:
            found.metrics += _ndcg_rows(every, grouping, settings)
        for grouping in chosen[1:]:
            found.metrics += _pair_rows(every, grouping, settings)
    found.tables = {"ranking_top": pa.Table.from_pylist(records, schema=_TOP)}
    found.caveats = [
        *_caveats(every, levels(top)),
        *(
            Caveat("fairness", f"{name} has more than {MAXIMUM_INTERSECTION} groups, too many to compare", name)
            for name in left_out
        ),
    ]
    return found


def _rng(settings: Settings, *names: str) -> np.random.Generator:
    return np.random.default_rng([*settings.seed, zlib.crc32("/".join(("rankings", *names)).encode())])


def _caveats(every: Rankings, tops: Sequence[int]) -> Iterator[Caveat]:
    sizes, runs = every.positions.sizes, np.diff(every.positions.run_starts)
    if (tied := int(runs[runs > 1].sum())) * 10 > len(every.codes):
        text = f"{tied:,} of {len(every.codes):,} candidates share a score with others and share positions evenly"
        yield Caveat("fairness", text, "fairness/exposure", "note")
    if every.queries < FEWEST_QUERIES:
        how = "one ranking" if every.queries == 1 else f"{every.queries} rankings, fewer than {FEWEST_QUERIES}"
        text = f"intervals come from resampling candidates within {how}: they speak of these rankings, not of new ones"
        yield Caveat("fairness", text, "fairness/exposure", "note")
    for k in tops:
        if 0 < (short := int((sizes <= k).sum())) < len(sizes):
            text = f"top {k}: {short:,} of {len(sizes):,} rankings have no more than {k} candidates and are left out"
            yield Caveat("fairness", text, f"fairness/top_{k}_representation", "note")
    if every.relevance is not None:
        found = np.bincount(every.positions.query, every.relevance, minlength=every.queries)
        if empty := int((found == 0).sum()):
            text = f"{empty:,} of {every.queries:,} rankings have nothing relevant and say nothing of NDCG or merit"
            yield Caveat("fairness", text, "fairness/ndcg", "note")


def _due_rows(
    every: Rankings, due: Due, chosen: Sequence[Grouping], settings: Settings
) -> tuple[list[MetricRow], list[dict[str, object]]]:
    """Attention against due by group, gaps and p-values, for one kind; for a top k the records of `ranking_top`."""
    sizes = every.positions.sizes
    reason = ""
    ranked = every
    if due.k and (sizes <= due.k).any():
        long = (sizes > due.k)[every.positions.query]
        reason = "" if long.any() else f"no ranking has more than {due.k} candidates, so all are in its top {due.k}"
        ranked = every.kept(long) if long.any() else every
    cumulative = due.cumulative(ranked.longest)
    attention = ranked.positions.attention(cumulative)
    reach = np.bincount(ranked.positions.query, attention) ** 2 / np.bincount(ranked.positions.query, attention**2)
    if not reason and reach.sum() < FEWEST_PLACES - 1e-9:
        reason = f"attention reaches about {reach.sum():.0f} places, fewer than the {FEWEST_PLACES} needed to judge"
    by_query = ranked.queries >= FEWEST_QUERIES
    relevance = ranked.relevance if due.by_relevance else None
    finest = totals(ranked.positions, ranked.codes, ranked.groups, cumulative, relevance)
    drawn: tuple[Floats, Floats] | None = None
    if not reason:
        rng = _rng(settings, due.name)
        drawn = (
            query_replicates(finest, rng, settings.replicates)
            if by_query
            else candidate_replicates(
                ranked.positions, ranked.codes, ranked.groups, cumulative, relevance, rng, settings.replicates
            )
        )
    rows: list[MetricRow] = []
    records: list[dict[str, object]] = []
    for grouping in chosen:
        found, codes = finest.added(grouping.places, len(grouping.names)), grouping.places[ranked.codes]
        n = np.bincount(codes, minlength=len(grouping.names))
        value = found.ratio()
        why = [reason or too_few(count, settings) for count in n.tolist()]
        why = [
            text or ("" if due > 0 else "nothing was due to it")
            for text, due in zip(why, found.due.sum(0), strict=True)
        ]
        resampled = None
        if drawn is not None:
            got, owed = (_added(part, grouping) for part in drawn)
            resampled = Resampled(
                "ratio",
                np.nan_to_num(value),
                logarithms(found.got.sum(axis=0), found.due.sum(axis=0), found.half),
                logarithms(got, owed, found.half),
                least_variances(ranked.positions, codes, found, attention, by_query),
                float(ranked.queries - 1 if by_query else max(1, len(codes) - 1)),
                n / n.sum(),
            )
        made = (
            f"{'queries' if by_query else 'candidates'} resampled {0 if drawn is None else drawn[0].shape[1]:,} times"
        )
        rows += group_and_gap_rows(
            grouping, due.name, due.gap, "ratio", value, n.tolist(), why, resampled, made, settings
        )
        if due.test:
            rows.append(_test_row(ranked, grouping, due.test, attention, reason, settings))
        if due.k and not reason:
            records += _top_records(grouping, due.k, found, n.tolist(), why)
    return rows, records


def _added(drawn: Floats, grouping: Grouping) -> Floats:
    found = np.zeros((len(grouping.names), drawn.shape[1]))
    np.add.at(found, grouping.places, drawn)
    return found


def _test_row(
    ranked: Rankings, grouping: Grouping, name: str, attention: Floats, reason: str, settings: Settings
) -> MetricRow:
    row = MetricRow("fairness", name, attribute=grouping.attribute, n=len(ranked.codes), status="insufficient",
                    reason=reason or "not computed")  # fmt: skip
    if reason:
        return row
    codes, rng = grouping.places[ranked.codes], _rng(settings, name, grouping.attribute)
    p, draws, how = alike_p_value(ranked.positions, codes, len(grouping.names), attention, rng, settings.replicates)
    return replace(row, value=p, status="ok", reason="", method=f"{how}, {draws:,} draws")


def _top_records(
    grouping: Grouping, k: int, found: Totals, n: Sequence[int], why: Sequence[str]
) -> Iterator[dict[str, object]]:
    got, due = found.got.sum(axis=0), found.due.sum(axis=0)
    for at, text in enumerate(why):
        if not text:
            yield {
                "attribute": grouping.attribute,
                "group": grouping.names[at],
                "k": k,
                "candidates": n[at],
                "candidate_share": float(due[at] / due.sum()),
                "places": float(got[at]),
                "place_share": float(got[at] / got.sum()),
            }


def _ndcg_rows(every: Rankings, grouping: Grouping, settings: Settings) -> Iterator[MetricRow]:
    """NDCG by group of query; where queries mix groups it is not applicable."""
    assert every.relevance is not None
    codes, groups, starts = grouping.places[every.codes], len(grouping.names), every.positions.starts[:-1]
    n = np.bincount(codes, minlength=groups).tolist()
    owner = codes[starts]
    mixed = len(np.unique(every.positions.query[codes != owner[every.positions.query]]))
    value = ndcg(every.positions, every.relevance)
    got, due = np.zeros((2, every.queries, groups))
    got[np.arange(every.queries), owner], due[np.arange(every.queries), owner] = (
        np.nan_to_num(value),
        np.isfinite(value),
    )
    for row in _rate_rows(Totals(got, due), grouping, "ndcg", "ndcg_difference", n, [""] * groups, settings):
        if mixed:
            text = f"NDCG is told by group of ranking, and {mixed:,} of {every.queries:,} rankings mix groups"
            row = replace(row, value=None, lower=None, upper=None, confidence=None, method="", detail="", reason=text,
                          status="not applicable")  # fmt: skip
        yield row


def _pair_rows(every: Rankings, grouping: Grouping, settings: Settings) -> Iterator[MetricRow]:
    assert every.relevance is not None
    codes, groups = grouping.places[every.codes], len(grouping.names)
    n, graded = np.bincount(codes, minlength=groups).tolist(), len(np.unique(every.relevance))
    found, why = Totals(np.zeros((every.queries, groups)), np.zeros((every.queries, groups))), [""] * groups
    if graded > MOST_LEVELS:
        why = [f"relevance has {graded:,} levels, more than the {MOST_LEVELS} compared; put it into bands"] * groups
    else:
        found = Totals(*right_pairs(every.scores, every.positions.query, every.relevance, codes, groups))
    return _rate_rows(found, grouping, "pairwise_accuracy", "pairwise_accuracy_difference", n, why, settings)


def _rate_rows(
    found: Totals, grouping: Grouping, name: str, gap: str, n: list[int], why: list[str], settings: Settings
) -> Iterator[MetricRow]:
    """Rates over queries: their error is never below that of one query more that is half right."""
    queries = (found.due > 0).sum(axis=0)
    enough = f"an interval needs {FEWEST_QUERIES} of them"
    why = [
        text or too_few(count, settings)
        or ("" if held >= FEWEST_QUERIES else f"only {held} rankings tell of it, and {enough}")
        for text, count, held in zip(why, n, queries.tolist(), strict=True)
    ]  # fmt: skip
    resampled = None
    value = found.ratio()
    if not all(why):
        got, due = query_replicates(found, _rng(settings, name, grouping.attribute), settings.replicates)
        drawn = np.divide(got, due, out=np.repeat(np.nan_to_num(value)[:, None], got.shape[1], axis=1), where=due > 0)
        floor = np.square((0.5 - np.nan_to_num(value)) / (queries + 1))
        freedom = float(
            max(FEWEST_QUERIES, min((held for held, text in zip(queries, why, strict=True) if not text))) - 1
        )
        resampled = Resampled("difference", np.nan_to_num(value), np.nan_to_num(value), drawn, floor, freedom)
    made = f"queries resampled {settings.replicates:,} times"
    return group_and_gap_rows(grouping, name, gap, "difference", value, n, why, resampled, made, settings)
