"""A line of the validity table: what was promised, what came out, and how far off it may be by chance.

`met` is `yes` where the share lies within what was asked, `by chance` where it lies outside by no more than two
standard errors of the simulation, else `no`.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Asked:
    """The range a share is to lie in, both ends included."""

    low: float = 0.0
    high: float = 1.0

    def __str__(self) -> str:
        if self.low and self.high < 1:
            return f"{self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if self.low else f"at most {self.high:g}"


COVERED, WORST_COVERED, RARE = Asked(0.93, 0.97), Asked(low=0.94), Asked(high=0.05)


def line(what: str, population: str, hits: float, draws: int, asked: Asked, beside: str = "") -> dict[str, str]:
    """One line: `hits` of `draws`."""
    share = hits / draws
    # one success and one failure more, so that a share of 0 or 1 is not taken for certain
    smooth = (hits + 1) / (draws + 2)
    error = math.sqrt(smooth * (1 - smooth) / draws)
    outside = max(asked.low - share, share - asked.high, 0.0)
    met = "yes" if outside == 0 else "by chance" if outside <= 2 * error else "no"
    return {
        "what": what,
        "population": population,
        "asked": str(asked),
        "found": f"{share:.3f}",
        "standard error": f"{error:.3f}",
        "draws": f"{draws:,}",
        "met": met,
        "beside it": beside,
    }


def stream(*names: object) -> np.random.Generator:
    """Random numbers that depend on the population's name alone, not on what was simulated before."""
    return np.random.default_rng(zlib.crc32(repr(names).encode()))
