"""What an audit ran on: the code's own digest, library versions, machine and device."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pyarrow", "captum", "codecarbon", "plotly", "lightning")


@cache
def code_identity() -> dict[str, str]:
    """The package's version and the SHA-256 of its source files."""
    state = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        state.update(path.relative_to(package).as_posix().encode())
        state.update(path.read_bytes())
    return {"version": version("auditkit"), "digest": state.hexdigest()}


def environment(device: torch.device) -> dict[str, Any]:
    """Python, operating system, processor count, device name and the versions of the libraries that matter."""
    import torch

    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "libraries": versions,
    }
