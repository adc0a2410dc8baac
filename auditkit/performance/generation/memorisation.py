"""Does a generator copy its training rows?

Every generated row's distance to the nearest training row is held against that of held-out real rows: a generator that
has learned the distribution comes as near to its training rows as they do, one that copies comes nearer.

* `memorised_share`: of the generated rows, those nearer than all but the nearest hundredth of held-out rows. That
  limit is an order statistic, the k-th of n, so among rows like the held-out ones the share below it is
  Beta(k, n + 1 - k) distributed: that is `memorised_share_by_chance`. Copying is established where the lower limit of
  the one lies above the upper limit of the other.
* `nearer_than_held_out`: the probability that a generated row is nearer to training than a held-out one, 1/2 for a
  faithful generator (Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative
  models", AISTATS: the three-sample statistic).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import stats

from auditkit.evidence.metrics import MetricRow
from auditkit.performance.generation.neighbours import Floats
from auditkit.statistics.intervals import wilson
from auditkit.statistics.roc import auroc_interval

NEAREST_SHARE = 0.01


def memorisation_rows(generated: Floats, held_out: Floats, space: str, confidence: float) -> Iterator[MetricRow]:
    """generated, held_out: distances [n] to the nearest training row. space: what they were measured in.

    >>> rows = list(memorisation_rows(np.zeros(50), np.linspace(1, 2, 99), "pixels", 0.95))
    >>> rows[0].metric, rows[0].value, round(rows[1].value, 3)
    ('memorised_share', 1.0, 0.01)
    """
    base = partial(MetricRow, "performance", split="train", detail=space, confidence=confidence)
    n, place = len(held_out), math.ceil(NEAREST_SHARE * len(held_out))
    limit = np.sort(held_out)[place - 1]
    copied = int((generated < limit).sum())
    lower, upper = (float(edge) for edge in wilson(copied, len(generated), confidence))
    how = f"generated rows nearer to a training row than the {place}. nearest of {n:,} held-out rows; Wilson"
    share = partial(base, unit="rate")
    value = copied / len(generated)
    yield share("memorised_share", value=value, lower=lower, upper=upper, n=len(generated), better="lower", method=how)
    low, high = (float(edge) for edge in stats.beta(place, n + 1 - place).interval(confidence))
    how = "what rows like the held-out ones would show; Beta distribution of the order statistic"
    chance = place / (n + 1)
    yield share("memorised_share_by_chance", value=chance, lower=low, upper=high, n=n, method=how)
    area = auroc_interval(generated, held_out, confidence)
    how = "probability that a generated row is nearer to training than a held-out one; DeLong"
    yield base(
        "nearer_than_held_out", value=area.value, lower=area.lower, upper=area.upper, n=len(generated), method=how
    )
