"""Whether a fairness check's intervals and verdicts keep their promises: coverage, false verdicts, power, families.

Every line is a simulation from a known truth through the functions that a check itself uses, with random numbers of
its own, so that any line can be run again alone. `met` weighs the share against its standard error: `by chance` is
outside by no more than two of them. A check makes 10,000 resamples, the simulations 400 to 1,000.

    python -m benchmarks fairness_validity
"""

import os
from concurrent.futures import ProcessPoolExecutor

from benchmarks.validity import families, gaps, intervals

TITLE = "Validity of fairness intervals and verdicts"


def rows(draws: int = 2000, workers: int | None = None) -> list[dict[str, str]]:
    """All lines. draws: of the quick populations; slower ones have half or a quarter."""
    parts = intervals.lines(draws) + gaps.lines(draws) + families.lines(draws // 4)
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        running = [pool.submit(part, *arguments) for part, arguments in parts]
        return [line for done in running for line in done.result()]
