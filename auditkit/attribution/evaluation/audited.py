"""The evaluation an audit makes: every method it explained with, on a few of the explained rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch

from auditkit.attribution.evaluation.again import by_method
from auditkit.attribution.evaluation.assessment import Assessment, Effort, Ground, Promise, assess
from auditkit.attribution.evaluation.tables import (
    curve_table,
    evaluation_rows,
    evaluation_table,
    pair_rows,
    quorum_table,
    verdict_caveats,
)
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.engine.progress import Progress
from auditkit.engine.rows import Scorer
from auditkit.evidence.metrics import Findings

NAME = "attribution"
ROWS, DRAW = 32, 314
"""rows that are evaluated, and the stream of the audit's seed that chooses them"""


def assessed(
    engine: Scorer,
    explicands: Explicands,
    found: Mapping[str, PartAttribution],
    settings: Settings,
    confidence: float,
    progress: Progress,
) -> dict[str, Assessment]:
    """Every method's assessment, on at most ROWS of the explained rows. Call it inside `model.evaluating()`."""
    chosen = np.zeros(len(explicands), dtype=bool)
    chosen[np.random.default_rng([settings.seed, DRAW]).permutation(len(explicands))[:ROWS]] = True
    kept = torch.from_numpy(chosen).to(explicands.scores.device)
    effort = Effort(steps=12, orders=3, samples=16, neighbours=2, copies=12, confidence=confidence, seed=settings.seed)
    ground = Ground(engine, explicands.take(kept), effort)
    judged = {}
    for name in progress.track(list(found), len(found), "evaluating", "methods"):
        method, part = METHODS[name], found[name].take(kept)
        promise = Promise(name, method.title, method.complete, method.signed, part.errors is not None)
        judged[name] = assess(ground, part.values, promise, by_method(method, settings), part.base)
    return judged


def evaluation_findings(
    judged: Mapping[str, Assessment], found: Mapping[str, PartAttribution], split: str, confidence: float, seed: int
) -> Findings:
    """What the audit keeps: metric rows, the tables of figures, curves and quorum, and warnings."""
    values = {name: part.values.cpu().numpy() for name, part in found.items()}
    signed = {name: METHODS[name].signed for name in found}
    tables: dict[str, pa.Table] = {
        f"{NAME}/evaluation": evaluation_table(judged),
        f"{NAME}/evaluation_curves": curve_table(judged),
        f"{NAME}/quorum": quorum_table(judged),
    }
    rows = [*evaluation_rows(judged, split, confidence), *pair_rows(values, signed, split, confidence, seed)]
    return Findings(metrics=rows, tables=tables, caveats=verdict_caveats(judged))
