"""Progress for long work: a rich bar with a rate and an estimate on a terminal, plain lines elsewhere, or silence."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """Shows how far work has come. `quiet` shows nothing at all."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = not quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One plain line about what happens now."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def track(self, work: Iterable[T], total: int, text: str, unit: str = "batches") -> Iterator[T]:
        """Yield from `work`, showing how much of `total` is done."""
        if self.live:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Bar(*columns, transient=True) as bar:
                yield from bar.track(work, total=total, description=text)
            return
        last = time.monotonic()
        for done, item in enumerate(work, start=1):
            yield item
            if time.monotonic() - last > 10 and not self.quiet:
                last = time.monotonic()
                self.say(f"{text}: {done} of {total} {unit}")
