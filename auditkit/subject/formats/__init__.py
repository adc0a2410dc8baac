"""Networks from files of other formats: checkpoints, TorchScript, `torch.export` programs and ONNX.

Such a file holds weights, or weights and a program, but neither preprocessing nor class names: those the caller adds.
Nothing is opened in a way that could run code from the file, unless the caller says to trust it. Importing this
package does not import torch.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from auditkit.evidence.metrics import Caveat

SUFFIXES = (
    ".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".ts", ".torchscript", ".pt2", ".onnx"
)  # fmt: skip


def is_network_file(path: str | Path) -> bool:
    """Whether a path names a file of one of these formats, judged by its suffix; a bundle's own files are none.

    >>> is_network_file("net.pt2"), is_network_file("net.parquet"), is_network_file("bundle/model.json")
    (True, False, False)
    """
    path = Path(path).expanduser()
    if path.is_dir() or (path.name == "model.safetensors" and (path.parent / "model.json").is_file()):
        return False
    return path.suffix.lower() in SUFFIXES


def open_network(
    path: str | Path,
    architecture: str | None = None,
    arguments: dict[str, Any] | None = None,
    near: Path | None = None,
) -> nn.Module:
    """The network in a file, on the CPU and in eval mode; what the file is, is read from its content.

    architecture, arguments: `package.module:Class` and what it is built with, for a file that holds weights only.
    near: a folder in which that module is looked for too. Raises InputError for whatever is wrong, in one sentence.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    kind = kind_of(path)
    if path.suffix.lower() == ".joblib":
        from auditkit.subject.formats.trusted import REFUSED

        raise InputError(REFUSED.format(path=path))
    if kind == "onnx":
        from auditkit.subject.formats.onnx import load_onnx

        return load_onnx(path)
    if kind == "exported":
        from auditkit.subject.formats.exported import load_exported

        return load_exported(path)
    if kind == "torchscript":
        from auditkit.subject.formats.torchscript import load_torchscript

        return load_torchscript(path)
    from auditkit.subject.formats.checkpoint import load_checkpoint, read_weights

    if architecture is None:
        read_weights(path)
        raise InputError(
            f"{path}: holds weights only, so the network must be named too, as package.module:Class: "
            "architecture: in audit.yaml, or load_model(..., architecture=...)"
        )
    return load_checkpoint(path, architecture, arguments or {}, near)


def open_trusted(
    path: str | Path,
    architecture: str | None = None,
    arguments: dict[str, Any] | None = None,
    near: Path | None = None,
) -> tuple[Any, tuple[Caveat, ...]]:
    """The network in a file that the caller trusts, or the classifier, and what to tell of how it was opened.

    What can be opened without running code from it is opened so; anything else RUNS THE FILE'S CODE.
    """
    from auditkit.subject.formats.checkpoint import load_checkpoint, read_weights
    from auditkit.subject.formats.trusted import model_in, unpickle

    path = Path(path).expanduser()
    if not path.is_file() or path.suffix.lower() == ".safetensors" or kind_of(path) != "checkpoint":
        return open_network(path, architecture, arguments, near), ()
    try:
        read_weights(path)
    except InputError:
        found, told = unpickle(path, near)
        if architecture is not None:
            return load_checkpoint(path, architecture, arguments or {}, near, found), (told,)
        return model_in(found, path), (told,)
    return open_network(path, architecture, arguments, near), ()


def kind_of(path: Path) -> str:
    """`checkpoint`, `torchscript`, `exported` or `onnx`. Reads a zip archive's list of names at most."""
    if path.suffix.lower() in (".onnx", ".safetensors"):
        return "onnx" if path.suffix.lower() == ".onnx" else "checkpoint"
    if tarfile.is_tarfile(path) or not zipfile.is_zipfile(path):
        return {".pt2": "exported", ".ts": "torchscript", ".torchscript": "torchscript"}.get(
            path.suffix.lower(), "checkpoint"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        raise InputError(f"{path}: a damaged or truncated archive; copy it again") from None
    if path.suffix.lower() == ".pt2" or "archive_format" in names:
        return "exported"
    if "constants.pkl" in names or path.suffix.lower() in (".ts", ".torchscript"):
        return "torchscript"
    return "checkpoint"
