"""The energy of a training that may be killed: metered in windows, each kept with the checkpoint that ends it.

A training that is resumed adds its windows to those kept. Their sum is what the epochs that led to the model took;
what was spent after the last window before a kill is in no window, and the cost's reason says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from auditkit.engine.meter import Cost, Meter

WINDOW_SECONDS = 1.0
"""A window is not ended before: counters and power models have little to say about shorter ones."""

PHASE = "training"


class Spent:
    """The windows of a training's energy, as costs."""

    def __init__(self, meter: Meter, windows: Sequence[Cost] = ()) -> None:
        self.windows = list(windows)
        self._meter, self._open = meter, ExitStack()
        self._cost: Cost | None = None
        self._began = 0.0

    @contextmanager
    def metered(self) -> Iterator[Spent]:
        """Meter what happens inside."""
        self._begin()
        try:
            yield self
        finally:
            self._end()

    def checkpoint(self) -> None:
        """End a window and begin the next, where this one is long enough to be metered."""
        if time.perf_counter() - self._began >= WINDOW_SECONDS:
            self._end()
            self._begin()

    def total(self, kills: int = 0) -> Cost:
        """All windows as one cost."""
        return together(self.windows, kills)

    def _begin(self) -> None:
        self._cost = self._open.enter_context(self._meter.phase(PHASE))
        self._began = time.perf_counter()

    def _end(self) -> None:
        self._open.close()
        if self._cost is not None:
            self.windows.append(self._cost)
        self._cost = None


def together(windows: Sequence[Cost], kills: int = 0) -> Cost:
    """Costs that followed one another as one; without energy where one of them has none, a part not being the whole.

    kills: how often the work was killed between two windows.

    >>> together([Cost("training", 2.0, reason="off"), Cost("training", 3.0, reason="off")]).seconds
    5.0
    """
    if len(windows) == 1 and not kills:
        return windows[0]
    total = replace(windows[-1], parts=tuple(part for window in windows for part in window.parts))
    total.seconds = math.fsum(window.seconds for window in windows)
    absent = [window.reason for window in windows if window.joules is None]
    reasons: list[str] = list(dict.fromkeys(window.reason for window in windows if window.reason))
    if absent:
        total.joules = total.low_joules = total.high_joules = None
        total.source, total.reader, total.parts = "absent", "", ()
        reasons = absent[:1]
    else:
        for name in ("joules", "low_joules", "high_joules"):
            setattr(total, name, math.fsum(getattr(window, name) for window in windows))
        total.source = "measured" if all(window.source == "measured" for window in windows) else "estimated"
    if kills:
        times = "once" if kills == 1 else f"{kills} times"
        reasons.append(f"resumed {times}: what was spent between a last metered checkpoint and a kill is not known")
    total.reason = "; ".join(reasons)
    return total


def windows_from(records: Sequence[dict[str, Any]]) -> list[Cost]:
    """Costs from their records."""
    return [Cost.from_record(record) for record in records]
