"""The evidence tables of mitigation.

frontier            today's threshold and the best policies by allowed gap: accuracy and gap on the rows fitted on
                    (`fit_…`) and, with intervals, on held-out rows
cheapest_change     for every gate, the change of either kind that should turn it green, and its verdict when held out
who_changes         the people of each group that such a change moves
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.fairness.mitigation.policy import Policy, Steps

_STEPS = pa.list_(pa.struct([("group", pa.string()), ("threshold", pa.float64()), ("chance", pa.float64())]))
_NUMBERS = [
    (name, pa.float64())
    for what in ("gap", "accuracy", "accuracy_change")
    for name in (what, f"{what}_lower", f"{what}_upper")
]
_HEAD = [("attribute", pa.string()), ("split", pa.string()), ("metric", pa.string()), ("policy", pa.string())]
FRONTIER = pa.schema(
    [*_HEAD, ("allowed", pa.float64()), ("fit_gap", pa.float64()), ("fit_accuracy", pa.float64()),
     ("fit_most", pa.float64()), *_NUMBERS, ("n", pa.int64()), ("reason", pa.string()),
     ("unjudged", pa.list_(pa.string())), ("steps", _STEPS)]
)  # fmt: skip
CHEAPEST_CHANGE = pa.schema(
    [*_HEAD, ("limit", pa.float64()), ("aimed", pa.float64()), ("today_gap", pa.float64()),
     ("today_verdict", pa.string()), ("verdict", pa.string()), ("verdict_reason", pa.string()), *_NUMBERS,
     ("shown_metric", pa.string()), ("shown_gap", pa.float64()), ("shown_lower", pa.float64()),
     ("shown_upper", pa.float64()), ("n", pa.int64()), ("gained", pa.int64()), ("lost", pa.int64()),
     ("room", pa.bool_()), ("unjudged", pa.list_(pa.string())), ("steps", _STEPS)]
)  # fmt: skip
WHO_CHANGES = pa.schema(
    [*_HEAD, ("limit", pa.float64()), ("group", pa.string()), ("threshold", pa.string()), ("n", pa.int64())]
    + [
        field
        for what in ("gained", "lost")
        for field in (
            (what, pa.int64()), (f"{what}_right", pa.int64()), (f"{what}_per_1000", pa.float64()),
            (f"{what}_lower", pa.float64()), (f"{what}_upper", pa.float64()),
        )
    ]
)  # fmt: skip


def steps_of(policy: Policy) -> list[dict[str, object]]:
    """Steps as evidence keeps them: one record each; the threshold that nobody reaches is null."""
    return [
        {"group": name, "threshold": threshold if np.isfinite(threshold) else None, "chance": chance}
        for name, steps in policy.named.items()
        for threshold, chance in steps
    ]


def told(steps: Steps) -> str:
    """Steps in words.

    >>> told(((0.4, 1.0),)), told(((0.3, 0.25), (float("inf"), 0.75)))
    ('0.4', '0.3 (25 %) or none (75 %)')
    """
    names = [f"{threshold:.4g}" if np.isfinite(threshold) else "none" for threshold, _ in steps]
    if len(steps) == 1:
        return names[0]
    return " or ".join(
        f"{name} ({chance:.0%})".replace("%", " %") for name, (_, chance) in zip(names, steps, strict=True)
    )
