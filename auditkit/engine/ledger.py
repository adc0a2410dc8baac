"""The cost ledger: how many rows each phase sent forward and backward through the model, per split.

The promise it makes visible: performance, fairness, activations and ood share exactly one forward per row and split.
"""

from collections import defaultdict
from typing import Any

import pyarrow as pa


class Ledger:
    """Counts rows forwarded and differentiated, by phase and split."""

    def __init__(self) -> None:
        self._forward: dict[tuple[str, str], int] = defaultdict(int)
        self._backward: dict[tuple[str, str], int] = defaultdict(int)
        self._rows: dict[tuple[str, str], int] = {}

    def forward(self, phase: str, split: str, rows: int) -> None:
        """Record `rows` rows sent forward in a phase."""
        self._forward[phase, split] += rows

    def backward(self, phase: str, split: str, rows: int) -> None:
        """Record `rows` rows differentiated in a phase."""
        self._backward[phase, split] += rows

    def distinct(self, phase: str, split: str, rows: int) -> None:
        """Record how many different rows of the split a phase looked at."""
        self._rows[phase, split] = rows

    def entries(self) -> list[dict[str, Any]]:
        """One record per phase and split: rows, forwards, backwards and forwards per row."""
        keys = sorted({*self._forward, *self._backward, *self._rows})
        return [
            {
                "phase": phase,
                "split": split,
                "rows": self._rows.get((phase, split)),
                "forwards": self._forward.get((phase, split), 0),
                "backwards": self._backward.get((phase, split), 0),
                "forwards_per_row": (
                    self._forward.get((phase, split), 0) / rows if (rows := self._rows.get((phase, split))) else None
                ),
            }
            for phase, split in keys
        ]

    def table(self) -> pa.Table:
        """The entries as an Arrow table."""
        return pa.Table.from_pylist(self.entries())
