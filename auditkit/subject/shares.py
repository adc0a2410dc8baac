"""Dealing one file out to train, validation and test: class by class, by a seed, the same every time.

Each class is shuffled by the seed and cut at its shares, so that every part has the classes in the file's proportions;
a class with too few rows to be shared goes to train. The same rows and the same settings give the same parts, so that
a recipe which trains on one of them and an audit which judges another agree on which row is where.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.spec import SharesSpec
from auditkit.subject.data import Role, Split

STREAM = 21
"""of the seed"""


def deal_out(whole: Split, shares: SharesSpec) -> dict[str, Split]:
    """The parts of a split by role, those with a share. Raises InputError where a part would have no row.

    >>> from auditkit.subject.data import Schema
    >>> rows = pa.table({"y": ["a", "b"] * 50})
    >>> parts = deal_out(Split("train", "train", rows, Schema((), ("a", "b"), "y")), SharesSpec())
    >>> {role: len(part) for role, part in parts.items()}
    {'train': 60, 'validation': 20, 'test': 20}
    """
    wanted: dict[Role, float] = {"validation": shares.validation, "test": shares.test}
    roles = np.full(len(whole), "train", dtype="U10")
    order = np.random.default_rng([shares.seed, STREAM]).permutation(len(whole))
    for label in np.unique(whole.labels):
        mine, begin = order[whole.labels[order] == label], 0
        for role, share in wanted.items():
            end = begin + round(share * len(mine))
            roles[mine[begin : min(end, len(mine) - 1)]] = role
            begin = end
    parts: dict[str, Split] = {}
    every: tuple[Role, ...] = ("train", "validation", "test")
    for role in every:
        rows = np.flatnonzero(roles == role)
        if role == "train" or wanted[role] > 0:
            if not len(rows):
                raise InputError(
                    f"{whole.origin}: {len(whole)} rows are too few to be dealt out, {role} would be empty; give a "
                    "file for each split"
                )
            parts[role] = _part(whole, role, rows, shares)
    return parts


def _part(whole: Split, role: Role, rows: np.ndarray, shares: SharesSpec) -> Split:
    arrays = {name: array[rows] for name, array in whole.arrays.items()}
    told = f"{whole.origin}, {role} part ({len(rows):,} of {len(whole):,} rows, dealt by seed {shares.seed})"
    return Split(role, role, whole.table.take(pa.array(rows)), whole.schema, arrays, told)
