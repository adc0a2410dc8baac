"""Values that are missing more often for one group than for another, column by column.

A model fills in or guesses what is missing, so that a group whose values are missing more often is treated by guess
more often. Each column's share of missing values has Wilson's interval in every group; the largest gap of a column
has bounds that hold for all pairs of groups (`auditkit.statistics.simultaneous`). Whether a column's gap is more than
chance is tested by chi-square on groups × missing, or by permutation where fewer than five are expected in a cell; the
p-values are adjusted for all columns and attributes looked at (Benjamini-Hochberg), and both are shown.

Missing are nulls, NaN and empty text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.columns import Column, numbers_of
from auditkit.fairness.counting.counts import JOIN, GroupCodes, joined
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION
from auditkit.fairness.groups.inference import subsets
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import wilson
from auditkit.statistics.multiplicity import benjamini_hochberg
from auditkit.statistics.permutation import any_difference
from auditkit.statistics.simultaneous import pairwise_differences, range_critical

DIFFERENCE, P_VALUE, ADJUSTED = "missingness_difference", "missingness_p_value", "missingness_p_value_adjusted"
FEWEST_EXPECTED = 5
SHARES = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "column", "group")]
    + [("n", pa.int64()), ("missing", pa.int64())]
    + [(name, pa.float64()) for name in ("share", "lower", "upper")]
)
GAPS = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "column", "high", "low")]
    + [(name, pa.float64()) for name in ("gap", "lower", "upper", "p_value", "p_adjusted")]
)


@dataclass(frozen=True, slots=True)
class _Margin:
    """Groups over some attributes. places: int64 [groups of all], their group here; n: int64 [groups]."""

    attribute: str
    names: list[str]
    places: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]


def missingness_findings(groups: GroupCodes, columns: pa.Table, settings: Settings, split: str = "") -> Findings:
    """Missing values by group, of every column (the label's among them where it is given as a column).

    groups: of each row, [n]; columns: a table of the same n rows. Raises InputError where their lengths differ.
    A sensitive attribute among the columns is not compared with itself.

    >>> groups = GroupCodes(("sex",), (("f",), ("m",)), np.repeat([0, 1], 100), {})
    >>> income = pa.array([None] * 40 + [1.0] * 160)
    >>> row = missingness_findings(groups, pa.table({"income": income}), Settings()).metrics[0]
    >>> row.metric, row.detail, row.value
    ('missingness_difference', 'income', 0.4)
    """
    if columns.num_rows != len(groups.codes):
        raise InputError(
            f"missingness: {columns.num_rows:,} rows of columns for {len(groups.codes):,} rows of groups; give as many"
        )
    found, shares = Findings(), []
    margins = list(_margins(groups, settings))
    missing = {name: _by_group(is_missing(columns[name]), groups) for name in columns.column_names}
    tests: list[MetricRow] = []
    gaps: list[dict[str, Any]] = []
    for margin in margins:
        for name, every in missing.items():
            if name in groups.attributes:
                continue
            k = np.bincount(margin.places, every, minlength=len(margin.names)).astype(np.int64)
            row, test, gap = _column_rows(margin, name, k, settings, split)
            found.metrics.append(row)
            tests.append(test)
            if gap is not None:
                gaps.append(gap)
            shares += list(_share_records(margin, name, k, settings, split))
    adjusted = list(_adjusted(tests))
    by_name = {(row.attribute, row.detail): row.value for row in adjusted}
    for gap in gaps:
        gap["p_adjusted"] = by_name[str(gap["attribute"]), str(gap["column"])]
    found.metrics += [*tests, *adjusted]
    found.tables["missingness"] = pa.Table.from_pylist(shares, schema=SHARES)
    found.tables["missingness_gaps"] = pa.Table.from_pylist(gaps, schema=GAPS)
    found.caveats += _caveats(gaps, settings)
    return found


def is_missing(column: Column) -> npt.NDArray[np.bool_]:
    """Which of a column's values are missing: null, NaN or empty text. Returns bool [n].

    >>> is_missing(pa.array([1.0, None, float("nan")])).tolist(), is_missing(pa.array(["", "a"])).tolist()
    ([False, True, True], [True, False])
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        flags = pc.is_null(array, nan_is_null=True)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        flags = pc.fill_null(pc.equal(array, pa.scalar("", array.type)), True)
    else:
        flags = pc.is_null(array)
    found: npt.NDArray[np.bool_] = numbers_of(flags.cast(pa.int64()), np.int64) == 1
    return found


def _by_group(missing: npt.NDArray[np.bool_], groups: GroupCodes) -> npt.NDArray[np.int64]:
    return np.bincount(groups.codes[missing], minlength=len(groups.groups))


def _margins(groups: GroupCodes, settings: Settings) -> Iterator[_Margin]:
    n = np.bincount(groups.codes, minlength=len(groups.groups))
    for attributes in subsets(groups.attributes, settings.intersections):
        keep = [groups.attributes.index(name) for name in attributes]
        projected = [tuple(group[at] for at in keep) for group in groups.groups]
        names = sorted(set(projected))
        if len(names) > MAXIMUM_INTERSECTION:
            continue
        order = {name: at for at, name in enumerate(names)}
        places = np.array([order[name] for name in projected], dtype=np.int64)
        total = np.bincount(places, n, minlength=len(names)).astype(np.int64)
        yield _Margin(joined(attributes), [joined(name) for name in names], places, total)


def _column_rows(
    margin: _Margin, column: str, k: npt.NDArray[np.int64], settings: Settings, split: str
) -> tuple[MetricRow, MetricRow, dict[str, Any] | None]:
    judged = np.flatnonzero(margin.n >= max(1, settings.minimum_group))
    unjudged = tuple(name for at, name in enumerate(margin.names) if at not in judged)
    row = MetricRow(
        "fairness", DIFFERENCE, split=split, attribute=margin.attribute, detail=column, unit="points", better="lower",
        n=int(margin.n[judged].sum()), status="insufficient", unjudged=unjudged,
        reason=f"a comparison needs two groups with at least {max(1, settings.minimum_group)} rows",
    )  # fmt: skip
    test = replace(row, metric=P_VALUE, unit="", better="none")
    if len(judged) < 2:
        return row, test, None
    s, n = k[judged], margin.n[judged]
    critical = range_critical([len(judged)], settings.confidence)
    pairs = pairwise_differences(s, n, critical, corrected=len(judged) > 2)
    gap = float(np.abs(pairs.estimate).max())
    lower = float(np.maximum(0.0, np.maximum(pairs.lower, -pairs.upper)).max())
    upper = float(np.maximum(np.abs(pairs.lower), np.abs(pairs.upper)).max())
    rates = s / n
    high, low = (margin.names[int(judged[place])] for place in (rates.argmax(), rates.argmin()))
    done: dict[str, Any] = {"status": "ok", "reason": "", "confidence": settings.confidence}
    compared = len(judged) * (len(judged) - 1) // 2
    method = f"Newcombe bounds for {compared} {'pair' if compared == 1 else 'pairs'} together; {high} – {low}"
    row = replace(row, **done, value=gap, lower=lower, upper=upper, method=method)
    stream = np.random.default_rng([*settings.seed, zlib.crc32(f"missing/{margin.attribute}/{column}".encode())])
    p, how = _any_gap(s, n, stream, settings)
    test = replace(test, **done, value=p, method=how)
    record = {"split": split, "attribute": margin.attribute, "column": column, "high": high, "low": low, "gap": gap,
              "lower": lower, "upper": upper, "p_value": p}  # fmt: skip
    return row, test, record


def _any_gap(
    k: npt.NDArray[np.int64], n: npt.NDArray[np.int64], rng: np.random.Generator, settings: Settings
) -> tuple[float, str]:
    from scipy.special import chdtrc

    rate = k.sum() / n.sum()
    if rate in (0.0, 1.0):
        return 1.0, "no value is missing" if rate == 0 else "every value is missing"
    if n.min() * min(rate, 1 - rate) >= FEWEST_EXPECTED:
        statistic = float(((k - n * rate) ** 2 / (n * rate * (1 - rate))).sum())
        return float(chdtrc(len(n) - 1, statistic)), f"chi-square on groups × missing, {len(n)} groups"
    return any_difference(k, n, rng, settings.replicates).p_value, f"exact-margin permutation of {len(n)} groups"


def _adjusted(tests: list[MetricRow]) -> Iterator[MetricRow]:
    """The tests' rows with p-values adjusted over all that gave one."""
    made = [row.value for row in tests if row.value is not None]
    adjusted = iter(benjamini_hochberg(made).tolist() if made else [])
    for row in tests:
        renamed = replace(row, metric=ADJUSTED)
        if row.value is None:
            yield renamed
        else:
            yield replace(renamed, value=next(adjusted), method=f"Benjamini-Hochberg over {len(made)} tests")


def _share_records(
    margin: _Margin, column: str, k: npt.NDArray[np.int64], settings: Settings, split: str
) -> Iterator[Mapping[str, object]]:
    lower, upper = wilson(k, np.maximum(margin.n, 1), settings.confidence)
    for at, name in enumerate(margin.names):
        n, missing = int(margin.n[at]), int(k[at])
        record: dict[str, object] = {"split": split, "attribute": margin.attribute, "column": column, "group": name,
                                     "n": n, "missing": missing}  # fmt: skip
        if n:
            record |= {"share": missing / n, "lower": float(lower[at]), "upper": float(upper[at])}
        yield record


def _caveats(gaps: list[dict[str, Any]], settings: Settings) -> Iterator[Caveat]:
    """One caveat, of the attributes with columns whose gaps outlast the adjustment; intersections only repeat them."""
    level = 1 - settings.confidence
    told = []
    for attribute in dict.fromkeys(str(gap["attribute"]) for gap in gaps if JOIN not in str(gap["attribute"])):
        found = [gap for gap in gaps if gap["attribute"] == attribute and gap["p_adjusted"] <= level]
        if found:
            widest = sorted(found, key=lambda gap: -gap["gap"])
            listed = ", ".join(str(gap["column"]) for gap in widest[:5])
            more = f" and {len(widest) - 5} more" if len(widest) > 5 else ""
            told.append(f"{attribute} ({listed}{more})")
    if told:
        text = f"values are missing more often for some groups than for others, by {'; '.join(told)}"
        yield Caveat("fairness", text, f"fairness/{DIFFERENCE}")
