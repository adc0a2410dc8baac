"""The tidy metric table: everything that is one number is a row of it.

Gates, reports, JUnit, model cards and dashboard cards are queries on this one table, so that a new metric needs no
change in any of them. A value that is not `ok` is null, never 0 and never NaN, and says why.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import pyarrow as pa

Status = Literal["ok", "insufficient", "not applicable", "absent"]
Better = Literal["higher", "lower", "none"]
STATUSES: tuple[Status, ...] = ("ok", "insufficient", "not applicable", "absent")

SCHEMA = pa.schema(
    [
        ("analysis", pa.string()),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("attribute", pa.string()),
        ("group", pa.string()),
        ("detail", pa.string()),
        ("value", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("confidence", pa.float64()),
        ("n", pa.int64()),
        ("unit", pa.string()),
        ("better", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("unjudged", pa.list_(pa.string())),
        ("method", pa.string()),
        ("compares", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One number, with everything needed to read it honestly.

    `attribute` names what people were grouped by (`sex`, `sex × race`), `group` the one group the row is about (empty
    for a gap between groups), `detail` what else tells rows of one metric apart (a detector, a layer, a feature).
    `unjudged` lists groups that had to be left out of a comparison: a gate over them never passes. `compares` names the
    metrics of the groups that a gap is between.
    `value`, `lower` and `upper` are null unless `status` is `ok`; `reason` then says why.

    >>> MetricRow("performance", "accuracy", split="test", value=0.9, lower=0.88, upper=0.92, n=1000).status
    'ok'
    """

    analysis: str
    metric: str
    split: str = ""
    attribute: str = ""
    group: str = ""
    detail: str = ""
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    confidence: float | None = None
    n: int | None = None
    unit: str = ""
    better: Better = "none"
    status: Status = "ok"
    reason: str = ""
    unjudged: tuple[str, ...] = field(default=())
    method: str = ""
    compares: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.analysis}/{self.metric}: unknown status {self.status!r}")
        if self.status == "ok":
            if self.value is None or not math.isfinite(self.value):
                raise ValueError(f"{self.analysis}/{self.metric}: an ok row needs a finite value, got {self.value}")
        elif self.value is not None or self.lower is not None or self.upper is not None:
            raise ValueError(f"{self.analysis}/{self.metric}: a row that is {self.status} must not carry a number")
        elif not self.reason:
            raise ValueError(f"{self.analysis}/{self.metric}: a row that is {self.status} must say why")

    @property
    def name(self) -> str:
        """The name a gate uses: `analysis/metric`."""
        return f"{self.analysis}/{self.metric}"


@dataclass(frozen=True, slots=True)
class Caveat:
    """Read this before trusting that: too few rows, a method degraded, a measure estimated.

    `about` names what it is about (`fairness/true_positive_rate`), `level` how much it matters.
    """

    analysis: str
    text: str
    about: str = ""
    level: Literal["note", "warning"] = "warning"


@dataclass(slots=True)
class Findings:
    """What an analysis concluded.

    `metrics` and `tables` are results: the same inputs give the same bytes. `measured` and `measured_tables` hold
    what is measured anew each time (seconds, joules) and stand outside the digest of results.
    """

    metrics: list[MetricRow] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    caveats: list[Caveat] = field(default_factory=list)
    measured: list[MetricRow] = field(default_factory=list)
    measured_tables: dict[str, pa.Table] = field(default_factory=dict)


def to_table(rows: Iterable[MetricRow]) -> pa.Table:
    """Metric rows as an Arrow table with the schema `SCHEMA`."""
    records = [asdict(row) | {"unjudged": list(row.unjudged), "compares": list(row.compares)} for row in rows]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def from_table(table: pa.Table) -> list[MetricRow]:
    """The inverse of `to_table`."""
    names = [f.name for f in fields(MetricRow) if f.name in table.column_names]
    records: list[dict[str, Any]] = table.select(names).to_pylist()
    listed = [name for name in ("unjudged", "compares") if name in names]
    for record in records:
        record |= {name: tuple(record[name]) for name in listed}
    return [MetricRow(**record) for record in records]


def select(rows: Sequence[MetricRow], **where: str | Sequence[str]) -> list[MetricRow]:
    """The rows whose fields equal the given values (or are among them, for a list).

    >>> rows = [MetricRow("fairness", "accuracy", group=g, value=0.5) for g in ("a", "b")]
    >>> [row.group for row in select(rows, metric="accuracy", group=["b", "c"])]
    ['b']
    """
    wanted = {key: {value} if isinstance(value, str) else set(value) for key, value in where.items()}
    return [row for row in rows if all(getattr(row, key) in values for key, values in wanted.items())]
