"""Collected: results of all rows, written chunk by chunk where they belong, so that none is ever held twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor


class Collected:
    """Tensors and arrays [rows, ...] by name, filled a few rows at a time.

    >>> import numpy as np
    >>> found = Collected(3)
    >>> found.put(slice(0, 2), score=np.array([1.0, 2.0]), error=None)
    >>> found.put(slice(2, 3), score=np.array([5.0]), error=None)
    >>> found["score"].tolist(), found["error"] is None
    ([1.0, 2.0, 5.0], True)
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._whole: dict[str, Any] = {}

    def put(self, some: slice, **parts: Tensor | np.ndarray | None) -> None:
        """What was found of some rows, [m, ...] each; None for what there is none of."""
        for name, part in parts.items():
            if part is None:
                continue
            if name not in self._whole:
                shape = (self.rows, *part.shape[1:])
                self._whole[name] = (
                    part.new_empty(shape) if isinstance(part, Tensor) else np.empty(shape, dtype=part.dtype)
                )
            self._whole[name][some] = part

    def __getitem__(self, name: str) -> Any:
        """All rows of what was put by this name, None where nothing was."""
        return self._whole.get(name)
