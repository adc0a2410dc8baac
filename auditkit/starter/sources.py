"""The data that a first audit is about: one file or folder, or one for each split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.subject.images import PICTURES, read_folder, read_npz
from auditkit.subject.tables import is_table, read_table

Part = Literal["rows", "train", "validation", "test"]
NAMES: dict[str, Part] = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
LABEL, ARRAY = "label", "images"
"""what the class and the pictures of a folder are called"""


@dataclass(frozen=True)
class Source:
    """Where the rows are, and those of one part to look at. array: the name of the pictures, where rows are pictures.

    files: part → path; one of `rows` where there is a single file.
    """

    files: dict[Part, Path]
    table: pa.Table
    array: str | None = None
    shape: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """The file that was looked at."""
        return str(next(iter(self.files.values())))

    @property
    def whole(self) -> bool:
        """Whether there is one file for all splits."""
        return "rows" in self.files


def look_at(path: Path) -> Source:
    """A file of rows, a folder of pictures (one subfolder per class), or a folder with train, validation and test.

    Raises InputError for anything else.
    """
    path = path.expanduser()
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return _read({"rows": path})
    parts = _parts(path)
    if parts:
        return _read(parts)
    tables = [item for item in sorted(path.iterdir()) if item.is_file() and _readable(item)]
    if len(tables) == 1:
        return _read({"rows": tables[0]})
    if tables:
        listed = ", ".join(item.name for item in tables[:5])
        raise InputError(
            f"{path}: has {len(tables)} files of rows ({listed}); name one of them, or call them train, validation and "
            "test"
        )
    return _read({"rows": path})


def _parts(folder: Path) -> dict[Part, Path]:
    """Files or folders of pictures named after the splits; none where train and test are not both among them."""
    found: dict[Part, list[Path]] = {}
    for item in sorted(folder.iterdir()):
        usable = any(item.iterdir()) if item.is_dir() else _readable(item)
        last = re.split(r"[\W_]+", item.name.split(".")[0].lower())[-1]
        if usable and not item.name.startswith(".") and last in NAMES:
            found.setdefault(NAMES[last], []).append(item)
    if not {"train", "test"} <= found.keys():
        return {}
    for part, items in found.items():
        if len(items) > 1:
            raise InputError(f"{folder}: both {items[0].name} and {items[1].name} sound like {part}; name one file")
    order: tuple[Part, ...] = ("train", "validation", "test")
    return {part: found[part][0] for part in order if part in found}


def _readable(path: Path) -> bool:
    return is_table(path) or path.suffix.lower() == ".npz"


def _read(files: dict[Part, Path]) -> Source:
    path = next(iter(files.values()))
    if path.is_dir():
        table, arrays = read_folder(path, LABEL, ARRAY)
        if LABEL not in table.column_names:
            raise InputError(
                f"{path}: pictures are told apart by their class, but there are no subfolders named after classes; "
                f"make one for each, with its pictures ({', '.join(PICTURES[:3])} …)"
            )
        return Source(files, table, ARRAY, arrays[ARRAY].shape[1:])
    if path.suffix.lower() == ".npz":
        table, arrays = read_npz(path)
        if len(arrays) > 1:
            raise InputError(f"{path}: holds {len(arrays)} arrays ({', '.join(arrays)}); keep the one of the pictures")
        for name, array in arrays.items():
            return Source(files, table, name, _shape(array))
        return Source(files, table)
    if not is_table(path):
        raise InputError(
            f"{path}: data of this kind are not read; give a table, an .npz archive or a folder of pictures"
        )
    return Source(files, read_table(path))


def _shape(images: np.ndarray) -> tuple[int, ...]:
    return tuple(images.shape[1:]) if images.ndim == 4 else (1, *images.shape[1:])
