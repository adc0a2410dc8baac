"""Places: where in a picture a cell lies, in words, and how attribution divides between centre, border and corners.

Cells are named "row,column" from the top left, as the partition names them. For words a picture is divided into thirds
both ways. Its zones are quarters: the centre is what lies in the inner half both ways, corners in the outer quarters
both ways, the border in the outer quarter one way; of an even spread they hold 25, 25 and 50 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ZONES = ("centre", "border", "corners")
_DOWN, _ACROSS = ("top", "middle", "bottom"), ("left", "centre", "right")


def cells_of(parts: Sequence[str]) -> npt.NDArray[np.int64]:
    """The rows and columns of cells, int64 [parts, 2].

    >>> cells_of(["0,0", "3,7"]).tolist()
    [[0, 0], [3, 7]]
    """
    return np.array([[int(number) for number in part.split(",")] for part in parts], dtype=np.int64)


def zones(parts: Sequence[str]) -> dict[str, list[int]]:
    """Zone → places of its cells among all cells of a picture.

    >>> {name: len(found) for name, found in zones([f"{r},{c}" for r in range(8) for c in range(8)]).items()}
    {'centre': 16, 'border': 32, 'corners': 16}
    """
    cells = cells_of(parts)
    middle = (cells + 0.5) / (1 + cells.max(axis=0))
    outer = (np.abs(middle - 0.5) > 0.25).sum(axis=1)
    return {name: np.flatnonzero(outer == count).tolist() for count, name in enumerate(ZONES)}


def place_of(region: Sequence[str], parts: Sequence[str]) -> str:
    """Where cells lie, in words: the parts of the picture that hold a third of them or more, the fullest first.

    region: cells by falling share of attribution. parts: all cells of the picture.

    >>> every = [f"{r},{c}" for r in range(8) for c in range(8)]
    >>> place_of(["0,0", "0,1", "1,0"], every), place_of(["7,4"], every), place_of(["3,3", "4,4"], every)
    ('the top left corner', 'the bottom edge', 'the centre')
    """
    size = 1 + cells_of(parts).max(axis=0)
    names = [_name(*(int(3 * (at + 0.5) / whole) for at, whole in zip(cell, size, strict=True)))
             for cell in cells_of(region)]  # fmt: skip
    order = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))
    kept = [name for name in order if 3 * names.count(name) >= len(names)] or order[:1]
    return " and ".join(kept)


def _name(down: int, across: int) -> str:
    if down != 1 and across != 1:
        return f"the {_DOWN[down]} {_ACROSS[across]} corner"
    if down == across:
        return "the centre"
    return f"the {_DOWN[down]} edge" if down != 1 else f"the {_ACROSS[across]} edge"
