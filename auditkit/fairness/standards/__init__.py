"""Standards: what four-fifths and New York City Local Law 144 ask to be computed. Rules are data, readings are plain.

Nothing here passes or fails: an engineering limit is not a legal one.
"""

from __future__ import annotations

import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.standards.four_fifths import Selected, four_fifths
from auditkit.fairness.standards.ll144 import bias_audit_from_cells
from auditkit.fairness.standards.rule import load_standard

__all__ = ["standards_tables"]


def standards_tables(counts: Counts, sex: str | None = None, race: str | None = None) -> dict[str, pa.Table]:
    """The standards' tables from counts; the positive decision is a selection.

    `four_fifths` over every attribute, and where both are named, `ll144` and `ll144_notes` by the columns `sex` and
    `race`. Raises InputError for a name that is not an attribute.

    >>> import numpy as np
    >>> counts = Counts(("sex",), (("f",), ("m",)), np.array([[[6, 4], [0, 0]], [[5, 5], [0, 0]]]))
    >>> standards_tables(counts)["four_fifths"]["impact_ratio"].to_pylist()
    [0.8, 1.0]
    """
    unknown = load_standard("four_fifths").unknown
    made = []
    for attribute in counts.attributes:
        groups = {group[0]: each for group, each in _selected(counts.margin([attribute])).items()}
        made.append(four_fifths(groups, attribute, filter(unknown, groups)))
    tables = {"four_fifths": pa.concat_tables(made)} if made else {}
    if sex is not None and race is not None:
        if sex == race:
            raise InputError(f"{sex!r} is named as sex and as race; name a column for each")
        cells = {(group[0], group[1]): each for group, each in _selected(counts.margin([sex, race])).items()}
        audit = bias_audit_from_cells(cells)
        tables |= {"ll144": audit.table, "ll144_notes": audit.notes}
    return tables


def _selected(counts: Counts) -> dict[tuple[str, ...], Selected]:
    """People and selections (decision 1) of every group."""
    people, chosen = counts.cells.sum(axis=(1, 2)).tolist(), counts.cells[:, :, 1].sum(axis=1).tolist()
    return {group: (n, k) for group, n, k in zip(counts.groups, people, chosen, strict=True)}
