"""How long a policy lasts in the task it was trained for, and in worlds with other physics.

Every figure is over seeded episodes that training never played. A return lies between 0 and the task's horizon; where
all episodes last to the end their spread is 0, but the interval must not be: its variance is that of the returns and
of one episode more that fails at once and one that lasts, and it is Wilson's for a proportion with this variance (as
for balanced accuracy: Agresti and Caffo 2000).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context
from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, MetricRow
from auditkit.statistics.intervals import wilson
from auditkit.subject.control import HORIZON, TASK, WORLDS, Floats, Policy, play, regulator
from auditkit.subject.preprocessing import TablePreprocessing

EPISODES = 50
ITSELF = "as trained"


def return_findings(context: Context) -> Findings | None:
    """Mean returns of a policy and of the reference controller, by world; None for a model that is no policy."""
    model = context.subject.model
    if getattr(model.module, "task", None) != TASK or not isinstance(model.preprocessing, TablePreprocessing):
        return None
    policy, seed = _policy_of(context), int(np.random.SeedSequence([context.spec.seed, 89]).generate_state(1)[0])
    findings, records = Findings(), []
    for world, changes in {ITSELF: {}, **WORLDS}.items():
        try:
            with model.evaluating():
                ours = play(policy, EPISODES, seed, changes).returns
            theirs = play(regulator(), EPISODES, seed, changes).returns
        except InputError as problem:
            row = MetricRow("performance", "mean_return", "test", detail=world, status="absent", reason=str(problem))
            findings.metrics.append(row)
            continue
        findings.metrics += _rows(ours, theirs, world, context.spec.performance.confidence)
        for who, returns in (("policy", ours), ("reference", theirs)):
            records += [{"world": world, "who": who, "return": float(value)} for value in returns]
    if records:
        findings.tables["returns"] = pa.Table.from_pylist(records)
    return findings


def _policy_of(context: Context) -> Policy:
    import torch

    model: Any = context.subject.model
    means, scales = (np.array([getattr(c, part) for c in model.preprocessing.numeric]) for part in ("mean", "scale"))

    def act(seen: Floats) -> npt.NDArray[np.int64]:
        context.ledger.forward("performance", "test", len(seen))
        inputs = torch.from_numpy(((seen - means) / scales).astype(np.float32)).to(model.device)
        with torch.inference_mode():
            found: npt.NDArray[np.int64] = model.logits((inputs,)).argmax(dim=1).cpu().numpy()
        return found

    return act


def _rows(ours: Floats, theirs: Floats, world: str, confidence: float) -> Iterator[MetricRow]:
    base = partial(MetricRow, "performance", split="test", detail=world, n=EPISODES, confidence=confidence)
    how = f"steps survived of at most {HORIZON} in {EPISODES} seeded episodes of {TASK}; Wilson, for bounded returns"
    for metric, returns in (("mean_return", ours), ("mean_return_of_reference", theirs)):
        lower, upper = return_interval(returns, confidence)
        value = float(returns.mean())
        better = "higher" if metric == "mean_return" else "none"
        yield base(metric, value=value, lower=lower, upper=upper, unit="steps", better=better, method=how)  # type: ignore[arg-type]
    lasted = int((ours >= HORIZON).sum())
    low, high = (float(edge) for edge in wilson(lasted, EPISODES, confidence))
    how = f"episodes that last all {HORIZON} steps; Wilson"
    yield base(
        "lasting_episodes", value=lasted / EPISODES, lower=low, upper=high, unit="rate", better="higher", method=how
    )


def return_interval(returns: Floats, confidence: float) -> tuple[float, float]:
    """The interval of a mean return, keeping a width where all returns are alike.

    >>> [round(edge) for edge in return_interval(np.full(50, 500.0), 0.95)]
    [464, 500]
    """
    shares = returns / HORIZON
    padded = np.concatenate([shares, [0.0, 1.0]])
    centre, variance = padded.mean(), padded.var() / len(shares)
    alike = centre * (1 - centre) / variance
    lower, upper = wilson(shares.mean() * alike, alike, confidence)
    return float(lower) * HORIZON, float(upper) * HORIZON
