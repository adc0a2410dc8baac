"""A section: how one finding is shown, by the report and by the dashboard alike.

The finding comes first, as a sentence; then one figure that shows it and a line that says how to read it; then the
table behind it; then how it was computed. Sections are made from evidence alone by each discipline's `view.py`.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def matching(table: pa.Table, **equal: Any) -> list[dict[str, Any]]:
    """The lines of an evidence table whose columns equal the given values, as dictionaries.

    >>> matching(pa.table({"split": ["train", "test"], "rows": [8, 2]}), split="test")
    [{'split': 'test', 'rows': 2}]
    """
    for name, value in equal.items():
        table = table.filter(pc.equal(table.column(name), value))
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@dataclass(frozen=True, slots=True)
class Section:
    """One finding, ready to be shown. All text is plain text (never HTML): whoever shows it escapes it.

    `figure` is a plotly Figure or None. `table` holds text ready to be read (formatted numbers, human column names).
    `key` is unique within its discipline and safe in file names and anchors (`[a-z0-9-]`).
    """

    key: str
    title: str
    finding: str
    figure: Any = None
    reading: str = ""
    table: pa.Table | None = None
    how: str = ""
