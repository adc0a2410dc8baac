"""How fast models are and what they draw, measured side by side.

A processor's clock, its other work and its temperature change from second to second, so models are never measured one
after the other: time is cut into short blocks in which each model has its turn, in an order that rotates, and a variant
is held against its original block by block. Inputs are encoded beforehand; a first round is not counted.

A block's latency is the median over its calls; the figure is the median over blocks, with an interval from order
statistics, which assumes nothing of the times. Of energy, blocks give a mean with Student's interval, widened by the
range of the gauge or power model (`auditkit.energy.inference`); in a ratio to the original that range cancels, as both
were read by the same gauge in the same minutes, so its interval is Student's, of the blocks' log ratios.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binom

from auditkit.energy.inference import Block, Estimate, t_interval
from auditkit.engine.meter import Meter, wait_for_gpu
from auditkit.subject.data import Split
from auditkit.subject.model import Model

Floats = npt.NDArray[np.float64]
BATCHES = (1, 256)
HELD = 4


def latencies(
    models: Sequence[Model],
    split: Split,
    rows: int,
    *,
    blocks: int = 15,
    seconds: float = 0.04,
    clock: Callable[[], float] = time.perf_counter,
) -> Floats:
    """Seconds per row in batches of so many rows: [models, blocks], each the median of a block's calls."""
    found = np.zeros((len(models), blocks))
    with _ready(models, split, rows) as calls:
        for block in range(-1, blocks):
            for place in _turns(len(models), block):
                times: list[float] = []
                begin = clock()
                while len(times) < 3 or clock() - begin < seconds:
                    start = clock()
                    calls[place](len(times))
                    wait_for_gpu()
                    times.append(clock() - start)
                if block >= 0:
                    found[place, block] = np.median(times) / rows
    return found


def energies(
    models: Sequence[Model], split: Split, rows: int, meter: Meter, *, blocks: int = 5, seconds: float = 0.5
) -> list[list[Block]]:
    """Each model's metered blocks of about `seconds`, in batches of so many rows. Block k of all models is one turn."""
    found: list[list[Block]] = [[] for _ in models]
    with _ready(models, split, rows) as calls:
        rounds = []
        for call in calls:
            begin, count = time.perf_counter(), 0
            while count < 3 or time.perf_counter() - begin < seconds / 3:
                call(count)
                wait_for_gpu()
                count += 1
            rounds.append(max(1, round(count * seconds / (time.perf_counter() - begin))))
        for block in range(blocks):
            for place in _turns(len(models), block):
                with meter.phase(f"model {place}, block {block + 1}") as cost:
                    for count in range(rounds[place]):
                        calls[place](count)
                found[place].append(Block(rounds[place] * rows, cost))
    return found


def median_interval(values: Floats, confidence: float = 0.95) -> Estimate:
    """The median with the order statistics that enclose it, whatever the distribution; all there is where few.

    >>> median_interval(np.arange(15.0))
    Estimate(value=7.0, lower=3.0, upper=11.0)
    """
    ordered = np.sort(values)
    n = len(ordered)
    place = max(0, int(binom.ppf((1 - confidence) / 2, n, 0.5)) - 1)
    return Estimate(float(np.median(ordered)), float(ordered[place]), float(ordered[n - 1 - place]))


def energy_ratio(original: Sequence[Block], variant: Sequence[Block], confidence: float = 0.95) -> Estimate | None:
    """A variant's joules per row over its original's; None where a block has no energy."""
    logs = []
    for before, after in zip(original, variant, strict=True):
        if not before.cost.joules or not after.cost.joules:
            return None
        logs.append(math.log(after.cost.joules / after.rows * before.rows / before.cost.joules))
    shifted = t_interval([value + 100 for value in logs], confidence)  # far from zero, where the interval is cut off
    return Estimate(*(math.exp(edge - 100) for edge in (shifted.value, shifted.lower, shifted.upper)))


def _turns(models: int, block: int) -> list[int]:
    """Whose turn it is when, rotating from block to block.

    >>> _turns(3, 1)
    [1, 2, 0]
    """
    return [(block + place) % models for place in range(models)]


@contextmanager
def _ready(models: Sequence[Model], split: Split, rows: int) -> Iterator[list[Callable[[int], None]]]:
    """For each model, a call that scores the k-th of a few prepared batches."""
    with ExitStack() as stack:
        calls = []
        for model in models:
            stack.enter_context(model.evaluating())
            batches = [model.encode(split, np.arange(at * rows, (at + 1) * rows) % len(split)) for at in range(HELD)]
            calls.append(_scorer(model, batches))
        with torch.inference_mode():
            yield calls


def _scorer(model: Model, batches: list[tuple[torch.Tensor, ...]]) -> Callable[[int], None]:
    def score(count: int) -> None:
        model.logits(batches[count % len(batches)])

    return score
