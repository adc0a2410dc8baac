"""Counterfactual flips: does the decision change when nothing but the sensitive value does?

Every row's value of an attribute that the model is given is swapped for each other value in turn, and the model asked
again. Counted are the rows whose decision flips for at least one other value, in which direction decisions go for
each pair of values (the exact test of McNemar 1947, Psychometrika 12(2), 153-157, adjusted over all pairs by Holm;
interval of the paired difference: Agresti and Min 2005, Statistics in Medicine 24(5), 729-740), and how far scores
move. SageMaker Clarify's flip test looks at neighbours instead; this is the direct, causal-in-the-model reading.

It sees direct use of the attribute only. A model that never reads the attribute, and works through proxies of it, has
no flips at all; and a swapped row may be a person who could hardly exist (a 30-year-old man called `Wife`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.fairness.counting.counts import encode_column
from auditkit.fairness.settings import Settings
from auditkit.statistics.intervals import normal_quantile, wilson
from auditkit.statistics.multiplicity import holm

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Predict = Callable[[pa.Table], npt.ArrayLike]
MAXIMUM_VALUES = 20
METRICS = ("counterfactual_flip_rate", "counterfactual_score_change")
FLIPS = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "value", "swapped_for")]
    + [(name, pa.int64()) for name in ("n", "to_positive", "to_negative")]
    + [(name, pa.float64()) for name in ("net_change", "lower", "upper", "p_value", "p_adjusted", "score_change")]
)


@dataclass(frozen=True)
class Swaps:
    """What swapping one attribute did. names: its values; own: int64 [n], place of each row's value among them.

    scores: float64 [n], as the rows are; swapped: float64 [values, n], with each value for everybody (NaN where it is
    the row's own).
    """

    attribute: str
    names: tuple[str, ...]
    own: Integers
    scores: Floats
    swapped: Floats

    def flips(self, threshold: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Decisions that become positive, and negative, [values, n]."""
        before, after = self.scores >= threshold, self.swapped >= threshold
        there = ~np.isnan(self.swapped)
        return there & after & ~before, there & ~after & before


def swap(table: pa.Table, attribute: str, predict: Predict, scores: npt.ArrayLike | None = None) -> Swaps:
    """Ask the model again with each value of the attribute for everybody. predict: table → positive probability [n].

    Rows without a value are swapped too; nobody's value is taken away. Raises InputError for an attribute of one value
    or of more than 20, and for predictions that are not one finite number per row.

    >>> people = pa.table({"sex": ["f", "m", "m"], "pay": [1.0, 2.0, 3.0]})
    >>> found = swap(people, "sex", lambda table: [0.9 if sex == "m" else 0.1 for sex in table["sex"].to_pylist()])
    >>> found.flips(0.5)[0].sum(axis=0).tolist(), found.flips(0.5)[1].sum(axis=0).tolist()
    ([1, 0, 0], [0, 1, 1])
    """
    column = table.column(attribute)
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    values = [value for value in pc.unique(plain).to_pylist() if value is not None and value == value]
    if not 2 <= len(values) <= MAXIMUM_VALUES:
        raise InputError(
            f"{attribute!r} has {len(values):,} different values; swapping takes from 2 to {MAXIMUM_VALUES}: "
            "give the model bands, or a list of values that stand for them"
        )
    own, names = encode_column(plain)
    place = {encode_column(pa.array([value], plain.type))[1][0]: value for value in values}
    before = _scores(table if scores is None else None, predict, table.num_rows, scores)
    swapped = np.full((len(names), table.num_rows), np.nan)
    for at, name in enumerate(names):
        if name not in place:
            continue
        other = np.flatnonzero(own != at)
        part = table.take(pa.array(other))
        everybody = pa.array([place[name]], plain.type).take(pa.array(np.zeros(len(other), dtype=np.int64)))
        part = part.set_column(part.schema.get_field_index(attribute), attribute, everybody)
        if len(other):
            swapped[at, other] = _scores(part, predict, len(other), None)
    return Swaps(attribute, tuple(names), own, before, swapped)


def _scores(table: pa.Table | None, predict: Predict, rows: int, given: npt.ArrayLike | None) -> Floats:
    found = np.asarray(predict(table) if table is not None else given, dtype=np.float64)
    if found.shape != (rows,) or not np.isfinite(found).all():
        raise InputError(f"the model must give one finite number for each of {rows:,} rows, got shape {found.shape}")
    return found


def flip_findings(
    table: pa.Table,
    attributes: Sequence[str],
    predict: Predict,
    settings: Settings,
    *,
    threshold: float = 0.5,
    split: str = "",
    refused: Mapping[str, str] | None = None,
) -> Findings:
    """How many decisions flip, overall and by the rows' own value, for each attribute that is a column of the table.

    predict: table → positive probability [n]; a decision is positive from `threshold` on. refused: attribute → why it
    was not asked about (it is no feature, say).

    >>> people = pa.table({"sex": ["f", "m"] * 50})
    >>> found = flip_findings(people, ["sex"], lambda table: np.zeros(len(table)), Settings())
    >>> found.metrics[0].metric, found.metrics[0].value
    ('counterfactual_flip_rate', 0.0)
    """
    metrics: list[MetricRow] = []
    records: list[dict[str, object]] = []
    why = dict(refused or {})
    factual = _scores(table, predict, table.num_rows, None) if attributes else None
    for attribute in attributes:
        try:
            swaps = swap(table, attribute, predict, factual)
        except InputError as problem:
            why[attribute] = str(problem)
            continue
        metrics += flip_rows(swaps, settings, threshold, split)
        records += flip_records(swaps, settings, threshold, split)
    metrics += [
        MetricRow("fairness", metric, split=split, attribute=attribute, status="not applicable", reason=reason)
        for attribute, reason in why.items()
        for metric in METRICS
    ]
    tested = holm([float(str(record["p_value"])) for record in records]).tolist() if records else []
    records = [{**record, "p_adjusted": p} for record, p in zip(records, tested, strict=True)]
    return Findings(metrics=metrics, tables={"flips": pa.Table.from_pylist(records, schema=FLIPS)})


def flip_rows(swaps: Swaps, settings: Settings, threshold: float, split: str) -> Iterator[MetricRow]:
    """How many decisions flip and how far scores move, overall and by the rows' own value."""
    up, down = swaps.flips(threshold)
    flipped = np.asarray((up | down).any(axis=0))
    moved = np.nanmean(np.abs(swaps.swapped - swaps.scores), axis=0)
    everybody = ("", np.ones(len(swaps.own), dtype=bool))
    for group, mine in [everybody, *((name, swaps.own == at) for at, name in enumerate(swaps.names))]:
        n = int(mine.sum())
        row = MetricRow(
            "fairness", "", split=split, attribute=swaps.attribute, group=group, n=n, better="lower",
            status="insufficient",
            reason=f"only {n} rows, fewer than the {settings.minimum_group} needed to judge",
        )  # fmt: skip
        if n < max(2, settings.minimum_group):
            yield from (replace(row, metric=metric) for metric in METRICS)
            continue
        k = int(flipped[mine].sum())
        lower, upper = wilson(k, n, settings.confidence)
        ok = partial(replace, row, status="ok", reason="", confidence=settings.confidence)
        few = tuple(name for at, name in enumerate(swaps.names) if (swaps.own == at).sum() < settings.minimum_group)
        yield ok(
            metric=METRICS[0],
            value=k / n,
            lower=float(lower),
            upper=float(upper),
            unit="rate",
            unjudged=() if group else few,
            method="rows that flip for at least one other value; Wilson's interval",
        )
        mean, error = float(moved[mine].mean()), float(moved[mine].std(ddof=1) / np.sqrt(n))
        away = normal_quantile(settings.confidence) * error
        yield ok(
            metric=METRICS[1],
            value=mean,
            lower=max(0.0, mean - away),
            upper=mean + away,
            unit="points",
            unjudged=() if group else few,
            method="mean size of a score's change over rows and other values; normal interval",
        )


def flip_records(swaps: Swaps, settings: Settings, threshold: float, split: str) -> Iterator[dict[str, object]]:
    """What became of each pair of values, as a line of `FLIPS` that lacks its adjusted p-value."""
    from scipy.special import bdtr

    up, down = swaps.flips(threshold)
    for at, name in enumerate(swaps.names):
        mine = swaps.own == at
        for other, second in enumerate(swaps.names):
            if other == at or np.isnan(swaps.swapped[other, mine]).any():
                continue
            n, gained, lost = int(mine.sum()), int(up[other, mine].sum()), int(down[other, mine].sum())
            lower, upper = paired_interval(gained, lost, n, settings.confidence)
            p = min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0
            yield {
                "split": split,
                "attribute": swaps.attribute,
                "value": name,
                "swapped_for": second,
                "n": n,
                "to_positive": gained,
                "to_negative": lost,
                "net_change": (gained - lost) / n,
                "lower": lower,
                "upper": upper,
                "p_value": p,
                "score_change": float((swaps.swapped[other, mine] - swaps.scores[mine]).mean()),
            }


def paired_interval(gained: int, lost: int, n: int, confidence: float) -> tuple[float, float]:
    """The interval of (gained - lost) / n over the same n rows: Agresti and Min's adjusted Wald interval.

    >>> [round(edge, 4) for edge in paired_interval(10, 2, 100, 0.95)]
    [0.0108, 0.146]
    """
    b, c, size = gained + 0.5, lost + 0.5, n + 2
    mean = (b - c) / size
    away = normal_quantile(confidence) * float(np.sqrt(max(0.0, (b + c) / size - mean**2) / size))
    net = (gained - lost) / n
    return max(-1.0, min(mean - away, net)), min(1.0, max(mean + away, net))
