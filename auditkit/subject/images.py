"""Images from files: NumPy archives and folders of pictures.

An `.npz` archive holds arrays that share their first dimension: one-dimensional ones become columns (labels,
sensitive attributes), two-dimensional ones become a column per position (`x` gives `x0`, `x1`, …), larger ones stay
arrays (images [n, H, W] or [n, C, H, W]). A folder of pictures has one subfolder per class, or none where the classes
are not known.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
Rows = tuple[pa.Table, dict[str, np.ndarray]]


def read_npz(path: Path) -> Rows:
    """Columns and arrays of an archive. Nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError) as problem:
        raise InputError(f"{path}: cannot be read as NPZ, it is truncated or damaged ({problem})") from None
    except ValueError:
        raise InputError(
            f"{path}: holds pickled objects, which are not opened, or is no NPZ archive; "
            "save plain arrays of numbers or text with numpy.savez"
        ) from None
    return from_arrays(arrays, str(path))


def from_arrays(arrays: dict[str, np.ndarray], where: str) -> Rows:
    """Arrays sorted into columns and arrays by their number of dimensions."""
    if not arrays:
        raise InputError(f"{where}: holds no arrays")
    lengths = {name: array.shape[0] if array.ndim else -1 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or -1 in lengths.values():
        listed = ", ".join(f"{name}: {length if length >= 0 else 'a single value'}" for name, length in lengths.items())
        raise InputError(f"{where}: arrays must have the same number of rows, found {listed}")
    columns: dict[str, pa.Array] = {}
    kept: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = pa.array(array.tolist() if array.dtype.kind in "US" else array)
        elif array.ndim == 2:
            for place, column in enumerate(array.T):
                columns[f"{name}{place}"] = pa.array(np.ascontiguousarray(column))
        else:
            kept[name] = array
    if not columns:
        columns["row"] = pa.array(np.arange(next(iter(lengths.values()))))
    return pa.table(columns), kept


def read_folder(folder: Path, label: str, array: str, channels: int | None = None) -> Rows:
    """The pictures of a folder as uint8 [n, C, H, W], with their class (the subfolder's name) and file.

    channels: 1 for grey, 3 for colour; colour where any picture has it when left out.
    """
    subfolders = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    places = [(item.name, path) for item in subfolders for path in _pictures(item)]
    unlabelled = _pictures(folder)
    if places and unlabelled:
        raise InputError(
            f"{folder}: has pictures both beside and inside its subfolders; "
            "move each into the subfolder named after its class"
        )
    files = [path for _, path in places] or unlabelled
    if not files:
        raise InputError(f"{folder}: has no pictures ({', '.join(PICTURES)}); give one subfolder per class")
    columns = {"file": pa.array([str(path.relative_to(folder)) for path in files])}
    if places:
        columns[label] = pa.array([name for name, _ in places])
    return pa.table(columns), {array: _stack(files, channels)}


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())


def _stack(files: list[Path], channels: int | None) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    images: list[np.ndarray] = []
    for path in files:
        try:
            with Image.open(path) as picture:
                grey = channels == 1 or (channels is None and picture.mode in ("1", "L", "I", "I;16", "LA"))
                images.append(np.asarray(picture.convert("L" if grey else "RGB")))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
            raise InputError(f"{path}: cannot be read as a picture, it is truncated or damaged") from None
        if images[-1].shape[:2] != images[0].shape[:2]:
            sizes = ["x".join(map(str, image.shape[:2])) for image in (images[0], images[-1])]
            raise InputError(f"{path}: is {sizes[1]} (height x width), the first picture {sizes[0]}; give all one size")
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
        return np.stack(images).transpose(0, 3, 1, 2)
    return np.stack(images)[:, None]
