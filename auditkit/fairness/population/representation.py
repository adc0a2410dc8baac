"""Groups' shares of the rows against their given shares of the population.

Each observed share has Goodman's simultaneous interval: Wilson's, at the quantile that makes all groups' intervals of
one attribute hold together. `representation_ratio` is the observed share over the population's, `representation_
difference` the largest distance of the two. Whether the rows could be a plain draw from the population is told by
Pearson's chi-square test; where a group is expected fewer than five times, by its exact distribution as simulated by
multinomial draws.

Rows without a value of the attribute belong to no group of the population: they are left out and counted, unless the
shares name `(missing)`. Sources: Goodman (1965), Technometrics 7(2), 247-254; Pearson (1900).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import JOIN, MISSING, Counts
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, score_interval

RATIO, DIFFERENCE, SMALLEST = "representation_ratio", "representation_difference", "smallest_representation_ratio"
P_VALUE = "representation_p_value"
TOLERANCE = 0.005
EXACT = 1e-9
FEWEST_EXPECTED = 5
SHARES = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "group")]
    + [("n", pa.int64())]
    + [(name, pa.float64()) for name in ("observed", "lower", "upper", "population")]
)


def representation_findings(
    counts: Counts, shares: Mapping[str, Mapping[str, float]], settings: Settings, split: str = ""
) -> Findings:
    """How well each attribute's groups are represented.

    shares: attribute (or several, joined: `sex × race`) → group → its share of the population, which add up to 1; sums
    within 0.005 of it are brought to 1 with a caveat. Raises InputError for other sums, for shares that are none, for
    attributes that were not counted, and for groups of the data that the shares do not name.

    >>> counts = Counts(("sex",), (("f",), ("m",)), np.array([[[20, 0], [0, 20]], [[40, 0], [0, 20]]]))
    >>> rows = representation_findings(counts, {"sex": {"f": 0.5, "m": 0.5}}, Settings()).metrics
    >>> [(row.metric, row.group, round(row.value, 2)) for row in rows][:2]
    [('representation_ratio', 'f', 0.8), ('representation_ratio', 'm', 1.2)]
    """
    found, records = Findings(), []
    for attribute, given in shares.items():
        margin = counts.margin(_attributes(attribute, counts))
        n = dict(zip(margin.names, margin.cells.sum(axis=(1, 2)).tolist(), strict=True))
        _check(attribute, given, n)
        without = sum(rows for name, rows in n.items() if name not in given)
        total = math.fsum(given.values())
        population = {name: share / total for name, share in given.items()}
        found.caveats += _caveats(attribute, total, given, n, without)
        observed = np.array([n.get(name, 0) for name in population], dtype=np.int64)
        expected = np.array(list(population.values()))
        rows, edges = _rows(attribute, list(population), observed, expected, settings, split)
        if counts.weights is not None:
            rows = [_not_applicable(row) for row in rows]
        found.metrics += rows
        for at, name in enumerate(population):
            edge = (
                {} if edges is None else dict(zip(("observed", "lower", "upper"), map(float, edges[at]), strict=True))
            )
            records.append(
                {"split": split, "attribute": attribute, "group": name, "n": int(observed[at]),
                 "population": float(expected[at])}
                | edge
            )  # fmt: skip
    found.tables["representation"] = pa.Table.from_pylist(records, schema=SHARES)
    return found


def _attributes(attribute: str, counts: Counts) -> list[str]:
    names = [attribute] if attribute in counts.attributes else attribute.split(JOIN)
    for name in names:
        if name not in counts.attributes:
            raise InputError(
                f"population shares: {name!r} is not one of the sensitive attributes; "
                f"{nearest(name, counts.attributes)}"
            )
    return names


def _check(attribute: str, given: Mapping[str, float], n: Mapping[str, int]) -> None:
    where = f"population shares of {attribute!r}"
    for name, share in given.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise InputError(f"{where}: the share of {name!r} is {share!r}; give a number from 0 to 1")
    for name in n:
        if name not in given and MISSING not in name.split(JOIN):
            raise InputError(f"{where} name no share for the group {name!r} of the data; {nearest(name, given)}")
    total = math.fsum(given.values())
    if abs(total - 1) > TOLERANCE + EXACT:
        raise InputError(
            f"{where} add up to {total:.6g}, not to 1; give every group's share, with one for everybody else if needed"
        )
    zero = [name for name, share in given.items() if share == 0 and n.get(name)]
    if zero:
        raise InputError(f"{where}: {zero[0]!r} has a share of 0 but {n[zero[0]]:,} rows; give its true share")


def _caveats(
    attribute: str, total: float, given: Mapping[str, float], n: Mapping[str, int], without: int
) -> list[Caveat]:
    texts = []
    if abs(total - 1) > EXACT:
        texts.append(f"population shares of {attribute} add up to {total:.6g}; they were divided by it")
    absent = [name for name, share in given.items() if share > 0 and not n.get(name)]
    if absent:
        listed = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
        texts.append(f"{attribute}: groups of the population without a single row: {listed}")
    if without:
        texts.append(f"{attribute}: {without:,} rows without a value are left out of the shares")
    return [Caveat("fairness", text, f"fairness/{RATIO}") for text in texts]


def _rows(
    attribute: str,
    names: list[str],
    observed: npt.NDArray[np.int64],
    population: npt.NDArray[np.float64],
    settings: Settings,
    split: str,
) -> tuple[list[MetricRow], npt.NDArray[np.float64] | None]:
    """The metric rows, and [groups, 3] of observed share and bounds where there are rows enough."""
    n = int(observed.sum())
    same: dict[str, Any] = {"analysis": "fairness", "split": split, "attribute": attribute}
    gap: dict[str, Any] = {**same, "n": n, "compares": (RATIO,)}
    least = max(1, settings.minimum_group)
    if n < least or len(names) < 2:
        reason = f"only {n} rows, fewer than the {least} needed to judge" if n < least else "there is one group only"
        none: dict[str, Any] = {"status": "insufficient", "reason": reason}
        return [
            *(MetricRow(**same, metric=RATIO, group=name, n=int(rows), unit="ratio", better="none", **none)
              for name, rows in zip(names, observed, strict=True)),
            MetricRow(**gap, metric=SMALLEST, unit="ratio", better="higher", **none),
            MetricRow(**gap, metric=DIFFERENCE, unit="points", better="lower", **none),
            MetricRow(**gap, metric=P_VALUE, **none),
        ], None  # fmt: skip
    z = normal_quantile(1 - (1 - settings.confidence) / len(names))
    low, high = score_interval(observed, n, z)
    share = observed / n
    method = f"Goodman's simultaneous intervals over {len(names)} groups"
    done: dict[str, Any] = {"confidence": settings.confidence, "method": method}
    rows = []
    for at, name in enumerate(names):
        row: dict[str, Any] = {**same, "metric": RATIO, "group": name, "n": int(observed[at]), "unit": "ratio"}
        if population[at] > 0:
            values: dict[str, Any] = {key: float(edge[at] / population[at])
                      for key, edge in (("value", share), ("lower", low), ("upper", high))}  # fmt: skip
            rows.append(MetricRow(**row, **values, **done))
        else:
            rows.append(MetricRow(**row, status="not applicable", reason="the group's population share is 0"))
    real = population > 0
    ratios = [np.min(edge[real] / population[real]) for edge in (share, low, high)]
    rows.append(MetricRow(**gap, metric=SMALLEST, unit="ratio", better="higher",
                          value=float(ratios[0]), lower=float(ratios[1]), upper=float(ratios[2]), **done))  # fmt: skip
    nearest_edge = np.maximum(0.0, np.maximum(low - population, population - high))
    farthest = np.maximum(np.abs(low - population), np.abs(high - population))
    distance = np.abs(share - population)
    rows.append(MetricRow(**gap, metric=DIFFERENCE, unit="points", better="lower", value=float(distance.max()),
                          lower=float(nearest_edge.max()), upper=float(farthest.max()),
                          **{**done, "method": f"{method}; {names[int(distance.argmax())]}"}))  # fmt: skip
    stream = np.random.default_rng([*settings.seed, zlib.crc32(f"representation/{attribute}".encode())])
    p, test = goodness_of_fit(observed[real], population[real], stream, settings.replicates)
    rows.append(MetricRow(**gap, metric=P_VALUE, value=p, confidence=settings.confidence, method=test))
    return rows, np.stack([share, low, high], axis=1)


def goodness_of_fit(
    observed: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], rng: np.random.Generator, draws: int = 10_000
) -> tuple[float, str]:
    """The p-value that the counts are a plain draw with these shares, and the test's name.

    observed: [groups]; shares: [groups], positive, adding up to 1.

    >>> p, name = goodness_of_fit(np.array([30, 20]), np.array([0.5, 0.5]), np.random.default_rng(0))
    >>> round(p, 4), name
    (0.1573, 'chi-square on 1 degree of freedom')
    """
    from scipy.special import chdtrc

    n = int(observed.sum())
    expected = n * shares
    statistic = float(((observed - expected) ** 2 / expected).sum())
    if expected.min() >= FEWEST_EXPECTED:
        degrees = len(shares) - 1
        return float(chdtrc(degrees, statistic)), f"chi-square on {degrees} degree{'s' * (degrees != 1)} of freedom"
    drawn = rng.multinomial(n, shares, size=draws)
    as_large = int((((drawn - expected) ** 2 / expected).sum(axis=1) >= statistic * (1 - 1e-12)).sum())
    return (1 + as_large) / (1 + draws), f"exact multinomial distribution of chi-square, {draws:,} draws"


def _not_applicable(row: MetricRow) -> MetricRow:
    """Without a number where rows are weighted: how they stand for a population is then the weights' matter."""
    reason = "rows are weighted, so how many there are of each group does not tell whom they stand for"
    return replace(row, value=None, lower=None, upper=None, confidence=None, status="not applicable", reason=reason,
                   method="")  # fmt: skip
