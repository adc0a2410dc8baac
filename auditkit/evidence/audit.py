"""Audit: a finished audit as Python sees it. Opening one needs neither the model nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import to_table
from auditkit.evidence.store import Evidence
from auditkit.theme import VERDICTS, verdict_label

if TYPE_CHECKING:
    import pandas as pd


class Tables(Mapping[str, pa.Table]):
    """The audit's tables by name (`fairness/rates`), read when asked for."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._names = evidence.table_names()

    def __getitem__(self, name: str) -> pa.Table:
        table = self._evidence.table(name)
        if table is None:
            raise KeyError(f"the audit has no table {name!r}; {nearest(name, self._names)}")
        return table

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Tables({', '.join(self._names)})"


class Audit(Evidence):
    """A finished audit: its verdict, metric table, tables and figures.

    >>> audit = open_audit("reports/adult/0123456789ab")  # doctest: +SKIP
    >>> audit.verdict, audit.metrics.query("metric == 'accuracy'")  # doctest: +SKIP
    """

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The tidy metric table as a DataFrame, one number per row."""
        return to_table(self.rows).to_pandas()

    @property
    def exit_code(self) -> int:
        """0 where no gate blocks, else 1."""
        return int(any(result.blocking for result in self.gates))

    @cached_property
    def tables(self) -> Tables:
        """All tables, read lazily."""
        return Tables(self)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Every figure of the report, as `discipline/section` → plotly Figure."""
        return {
            f"{discipline}/{section.key}": section.figure
            for discipline, sections in self.sections().items()
            for section in sections
            if section.figure is not None
        }

    def __repr__(self) -> str:
        return f"Audit({self.info['name']!r}, {self.verdict}, {self.folder})"

    def _repr_html_(self) -> str:
        colour = VERDICTS[self.verdict][1]
        rows = "".join(
            f"<tr><td>{escape(result.gate)}</td><td>{escape(result.subject)}</td>"
            f"<td>{escape(verdict_label(result.verdict))}</td><td>{escape(result.reason)}</td></tr>"
            for result in self.gates
        )
        return (
            f"<div><strong>{escape(str(self.info['name']))}</strong> "
            f"<strong style='color:{colour}'>{escape(verdict_label(self.verdict))}</strong> "
            f"<span>{len(self.rows)} numbers, {len(self.caveats)} caveats, audit {escape(self.info['audit_id'])}</span>"
            f"<table><tr><th>gate</th><th>of</th><th>verdict</th><th>why</th></tr>{rows}</table></div>"
        )


def open_audit(path: str | Path) -> Audit:
    """Open the folder of a finished audit. Raises InputError where there is none."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; give the folder of an audit, as `auditkit run` printed it"
        )
    return Audit(folder)
