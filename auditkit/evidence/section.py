"""A section: how one finding is shown, by the report and by the dashboard alike.

The finding comes first, as a sentence; then one figure that shows it and a line that says how to read it; then the
table behind it; then how it was computed. Sections are made from evidence alone by each discipline's `view.py`.
"""

from collections.abc import Iterable
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
    `key` is unique within its discipline and safe in file names and anchors (`[a-z0-9-]`). `chapter` groups the
    sections of a discipline that has many: the first chapter is shown at once, the others are opened.
    """

    key: str
    title: str
    finding: str
    figure: Any = None
    reading: str = ""
    table: pa.Table | None = None
    how: str = ""
    chapter: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """Sections that belong together. `key` is safe in anchors."""

    title: str
    sections: tuple[Section, ...]

    @property
    def key(self) -> str:
        """The title in anchors."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


def chapters_of(sections: Iterable[Section]) -> list[Chapter]:
    """Sections by chapter, in the order in which chapters first occur.

    >>> [chapter.title for chapter in chapters_of([Section("a", "A", "", chapter="x"), Section("b", "B", "")])]
    ['x', '']
    """
    found: dict[str, list[Section]] = {}
    for section in sections:
        found.setdefault(section.chapter, []).append(section)
    return [Chapter(title, tuple(parts)) for title, parts in found.items()]
