"""The meter: how long each phase of the work took and how much energy, and how that is known.

    with meter.phase("pass") as cost:
        ...
    cost.joules, cost.low_joules, cost.high_joules, cost.source

Phases follow one another and never nest, so that their joules add up to the whole. What could not be read is absent
with a reason, never zero; an estimate carries the range of its model. Queued GPU work is waited for at both edges.
The reader is codecarbon (`reader.py`), asked for only when the first phase begins; tests give a scripted one.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

from auditkit.engine.grid import Grid, grid_of
from auditkit.engine.reader import COARSE_SECONDS, CodecarbonReader, NoReader, Part, Reader, Reading, Source

SHORT_SECONDS = 0.1
"""An estimate's window shorter than this is said to be coarse."""

COST_SCHEMA = pa.schema(
    [
        ("phase", pa.string()),
        ("seconds", pa.float64()),
        ("joules", pa.float64()),
        ("low_joules", pa.float64()),
        ("high_joules", pa.float64()),
        ("source", pa.string()),
        ("reader", pa.string()),
        ("co2_g", pa.float64()),
        ("country", pa.string()),
        ("country_name", pa.string()),
        ("grid_g_per_kwh", pa.float64()),
        ("grid_year", pa.int64()),
        ("reason", pa.string()),
    ]
)


@dataclass(slots=True)
class Cost:
    """What one phase took. Filled when the phase ends.

    `joules` is None where `source` is `absent`, and `reason` says why. `low_joules` and `high_joules` are the range of
    the gauge (measured) or of the power model (estimated); they are bounds, not a confidence interval. `source` is
    `measured` only where every part was. `country` and `grid_g_per_kwh` say which grid the carbon is of.
    """

    phase: str
    seconds: float = 0.0
    joules: float | None = None
    low_joules: float | None = None
    high_joules: float | None = None
    source: Source = "absent"
    reader: str = ""
    country: str = ""
    country_name: str = ""
    grid_g_per_kwh: float = 0.0
    grid_year: int = 0
    reason: str = "the phase has not ended"
    parts: tuple[Part, ...] = ()

    @property
    def kwh(self) -> float | None:
        """The energy in kilowatt-hours."""
        return None if self.joules is None else self.joules / 3.6e6

    @property
    def co2_g(self) -> float | None:
        """Grams of CO₂ equivalent on the stated grid."""
        return None if self.joules is None else self.joules / 3.6e6 * self.grid_g_per_kwh

    def record(self) -> dict[str, Any]:
        """The cost as plain values that JSON can hold; `from_record` is the inverse."""
        return asdict(self) | {"kwh": self.kwh, "co2_g": self.co2_g, "parts": [asdict(part) for part in self.parts]}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Cost:
        """A cost from what `record` made, or from what an older version of it did.

        >>> Cost.from_record(Cost("pass", 2.0, reason="off").record()).seconds
        2.0
        """
        known = {field.name for field in fields(cls)} - {"parts"}
        parts = tuple(Part(**part) for part in record.get("parts") or ())
        return cls(**{key: value for key, value in record.items() if key in known}, parts=parts)


class Meter:
    """Meters phases that follow one another on the grid of `country`.

    Raises InputError for a country without a known grid. `reader` and `clock` (seconds) can be given in place of
    codecarbon and the machine's own.
    """

    def __init__(
        self, country: str, *, reader: Reader | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.grid: Grid = grid_of(country)
        self.costs: list[Cost] = []
        self._reader = reader if reader is not None else CodecarbonReader(self.grid.country)
        self._clock = clock
        self._open: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[Cost]:
        """Meter what happens inside. The cost is kept even where it ends in an exception.

        Raises RuntimeError for a phase inside another: its joules would be counted twice.
        """
        if self._open is not None:
            raise RuntimeError(f"phase {name!r} cannot begin inside {self._open!r}: phases follow one another")
        grid = self.grid
        cost = Cost(
            name,
            country=grid.country,
            country_name=grid.name,
            grid_g_per_kwh=grid.g_per_kwh,
            grid_year=grid.year,
        )
        self._open = name
        problem = self._begin()
        start = self._clock()
        try:
            yield cost
        finally:
            self._open = None
            wait_for_gpu()
            cost.seconds = self._clock() - start
            _fill(cost, Reading(reason=problem) if problem else self._end())
            self.costs.append(cost)

    def table(self) -> pa.Table:
        """All costs so far, in their order, as an Arrow table with the schema `COST_SCHEMA`."""
        return costs_table(self.costs)

    def _begin(self) -> str:
        wait_for_gpu()
        try:
            self._reader.start()
        except Exception as problem:
            return _said(problem)
        return ""

    def _end(self) -> Reading:
        try:
            return self._reader.stop()
        except Exception as problem:
            return Reading(reason=_said(problem))


class NoMeter(Meter):
    """Meters seconds only: every cost is absent, with the reason. For when energy is not asked for."""

    def __init__(self, reason: str = "energy metering is switched off") -> None:
        super().__init__("DEU", reader=NoReader(reason))


def costs_table(costs: Iterable[Cost]) -> pa.Table:
    """Costs as an Arrow table with the schema `COST_SCHEMA`; what is absent is null."""
    names = COST_SCHEMA.names
    return pa.Table.from_pylist([{name: getattr(cost, name) for name in names} for cost in costs], schema=COST_SCHEMA)


def _fill(cost: Cost, reading: Reading) -> None:
    """Sum the parts into the cost, or leave it absent with the reason."""
    cost.reason = reading.reason
    joules = math.fsum(part.joules for part in reading.parts)
    if not reading.parts or not math.isfinite(joules):
        cost.reason = reading.reason or "the reader gave no usable figure"
        return
    cost.parts = reading.parts
    cost.joules = joules
    cost.low_joules = math.fsum(part.low_joules for part in reading.parts)
    cost.high_joules = math.fsum(part.high_joules for part in reading.parts)
    sources = {part.source for part in reading.parts}
    cost.source = "measured" if sources == {"measured"} else "estimated"
    cost.reader = "; ".join(f"{part.component} {part.source}: {part.reader}" for part in reading.parts)
    if "measured" in sources and cost.seconds < COARSE_SECONDS:
        cost.reason = f"coarse: a window of {cost.seconds:.2g} s is short for a counter"
    elif cost.seconds < SHORT_SECONDS:
        cost.reason = f"coarse: a window of {cost.seconds:.2g} s is short beside the milliseconds that reading takes"


def _said(problem: Exception) -> str:
    return f"the reader failed: {type(problem).__name__}: {problem}"


def wait_for_gpu() -> None:
    """Let queued CUDA work finish, where torch is loaded and has begun to use CUDA. Never imports torch."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
