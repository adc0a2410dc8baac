"""Dealing rows out to train, validation and test: 60, 20 and 20 %, within each stratum, the same every time."""

from __future__ import annotations

import numpy as np

from auditkit.subject.data import Role

PARTS: tuple[Role, ...] = ("train", "train", "train", "validation", "test")
"""Whose turn it is when rows are dealt."""


def deal(strata: list[object], seed: int) -> dict[Role, np.ndarray]:
    """Rows by role, shuffled within each stratum and dealt in turn, so that every stratum is shared out 60/20/20."""
    _, codes = np.unique([repr(stratum) for stratum in strata], return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    turns = np.resize(PARTS, len(order))
    return {role: np.sort(order[turns == role]) for role in dict.fromkeys(PARTS)}
