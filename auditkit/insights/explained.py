"""What an audit's attribution evidence says about columns: their attributions row by row, and their shares.

Pure reading of tables, by name. A decomposition of a gap needs attributions that add up, for one target, from one
baseline; where the evidence is not so, `NotExplainedError` says in words what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.evidence.section import matching
from auditkit.statistics.intervals import Floats

Tables = Callable[[str], pa.Table | None]


class NotExplainedError(Exception):
    """Why the evidence does not say what an insight needs."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Attributions [n, columns] of rows of the split by a method that adds up, and the score they add up to, [n]."""

    method: str
    title: str
    target: str
    rows: npt.NDArray[np.int64]
    columns: tuple[str, ...]
    values: Floats
    scores: Floats


def explained_columns(tables: Tables) -> Explained:
    """The explained rows of a table, by the first method that promises to add up.

    Raises NotExplainedError where rows were not explained, or not by columns, for one target and from one baseline.
    """
    methods, rows, values = (tables(f"attribution/{name}") for name in ("methods", "rows", "explanations"))
    if methods is None or rows is None or values is None:
        raise NotExplainedError("no rows were explained (run the attribution analysis as well, before the insights)")
    if not {"column", "value"} <= set(values.column_names):
        raise NotExplainedError("a gap is divided among the columns of a table, and these rows are none")
    present = set(values.column("method").to_pylist())
    known = [line for line in methods.to_pylist() if line["complete"] and line["method"] in present]
    if not known:
        raise NotExplainedError("no method was run that promises to add up to the score, such as integrated_gradients")
    method = known[0]["method"]
    facts = matching(rows, method=method)
    targets = {line["target"] for line in facts}
    starts = np.array([line["baseline_score"] for line in facts])
    if len(targets) != 1:
        raise NotExplainedError("rows were explained for different targets (the class that each is predicted as)")
    if np.ptp(starts) > 1e-6 * max(1.0, float(np.abs(starts).max())):
        raise NotExplainedError("rows were explained from different baselines, which do not cancel between groups")
    held = values.filter(pc.equal(values.column("method"), method))
    columns = tuple(dict.fromkeys(held.column("column").to_pylist()))
    place = {name: index for index, name in enumerate(columns)}
    own = np.array([line["row"] for line in facts], dtype=np.int64)
    at = {row: index for index, row in enumerate(own.tolist())}
    matrix = np.zeros((len(own), len(columns)))
    lines = zip(held.column("row").to_pylist(), held.column("column").to_pylist(), strict=True)
    index = np.array([(at[row], place[column]) for row, column in lines])
    matrix[index[:, 0], index[:, 1]] = held.column("value").to_numpy()
    scores = np.array([line["score"] for line in facts])
    return Explained(method, known[0]["title"], targets.pop(), own, columns, matrix, scores)


def shares_of_columns(tables: Tables) -> dict[str, dict[str, Any]]:
    """Column → its share of the attribution over all explained rows (share, lower, upper); empty where unknown."""
    methods, overall = tables("attribution/methods"), tables("attribution/global")
    if methods is None or overall is None or not overall.num_rows:
        return {}
    present = set(overall.column("method").to_pylist())
    known = [line for line in methods.to_pylist() if line["method"] in present]
    lead = max(known, key=lambda line: line["complete"])["method"]
    lines = matching(overall, method=lead, attribute="", status="ok")
    return {line["column"]: {key: line[key] for key in ("share", "lower", "upper")} for line in lines}
