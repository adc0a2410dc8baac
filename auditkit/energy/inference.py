"""Joules and seconds per 1,000 rows of inference, from blocks of equal work.

After a warm-up, the same number of batches is scored in each of B blocks, chosen so that one block lasts about the
wanted time; GPU work is waited for at both edges of a block. The inputs are encoded and on the device beforehand, so
a block holds the model's forward pass and nothing else: throughput, not the latency of a single row.

Two uncertainties are kept apart and then joined: the spread over blocks (a t-interval with B - 1 degrees of freedom)
and the range of the gauge or power model, which does not shrink with more blocks. The joined interval stretches each
edge of the first by the second: `[max(0, mean - t·s/√B) · low/joules, (mean + t·s/√B) · high/joules]`.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from auditkit.engine.meter import Cost, Meter, wait_for_gpu

WARM_UP_BATCHES = 3
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Block:
    """One block: how many rows were scored, and what it cost."""

    rows: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over blocks with its interval, in the unit of the values."""

    value: float
    lower: float
    upper: float


def measure(
    score: Callable[[int], int],
    batches: int,
    meter: Meter,
    *,
    blocks: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Block]:
    """Score `blocks` blocks of about `seconds` each.

    `score(index)` scores one of the `batches` prepared batches and returns its number of rows.
    """
    per_batch = _warm_up(score, batches, min(seconds, WARM_UP_SECONDS), clock)
    rounds = max(1, round(seconds / per_batch))
    measured = []
    for number in range(blocks):
        with meter.phase(f"block {number + 1}") as cost:
            rows = sum(score(index % batches) for index in range(rounds))
        measured.append(Block(rows, cost))
    return measured


def _warm_up(score: Callable[[int], int], batches: int, seconds: float, clock: Callable[[], float]) -> float:
    """Score until caches and clocks have settled; the median seconds of a batch over the second half."""
    times: list[float] = []
    start = clock()
    while len(times) < WARM_UP_BATCHES or clock() - start < seconds:
        begin = clock()
        score(len(times) % batches)
        wait_for_gpu()
        times.append(clock() - begin)
    return max(statistics.median(times[len(times) // 2 :]), 1e-9)


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of at least two independent values with Student's interval, cut off at zero.

    >>> t_interval([1.0, 1.0, 1.0])
    Estimate(value=1.0, lower=1.0, upper=1.0)
    """
    mean = statistics.fmean(values)
    reach = float(student.ppf(0.5 + confidence / 2, len(values) - 1)) * statistics.stdev(values)
    reach /= math.sqrt(len(values))
    return Estimate(mean, max(0.0, mean - reach), mean + reach)


def seconds_per_1000(blocks: Sequence[Block], confidence: float = 0.95) -> Estimate:
    """Seconds per 1,000 rows."""
    return t_interval([1000 * block.cost.seconds / block.rows for block in blocks], confidence)


def joules_per_1000(blocks: Sequence[Block], confidence: float = 0.95) -> Estimate | str:
    """Joules per 1,000 rows; the interval joins the spread over blocks with the gauge's or the model's range.

    Where any block's energy is absent, the reason instead: the others alone would be a choice.
    """
    absent = [block.cost.reason for block in blocks if block.cost.joules is None]
    if absent:
        return f"{len(absent)} of {len(blocks)} blocks have no energy: {absent[0]}"
    joules, low, high = (
        math.fsum(getattr(block.cost, name) for block in blocks) for name in ("joules", "low_joules", "high_joules")
    )
    repeat = t_interval([1000 * (block.cost.joules or 0.0) / block.rows for block in blocks], confidence)
    return Estimate(repeat.value, repeat.lower * low / joules, repeat.upper * high / joules)
