"""Reports: evidence told as HTML, Markdown, JSON and JUnit XML. Nothing here computes a statistic or calls a model.

A format is one module with `render(evidence) -> str` and one line in `_FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from auditkit.errors import InputError, nearest
from auditkit.evidence.manifest import write_atomically

_FORMATS = {
    "html": ("auditkit.report.html", "report.html"),
    "markdown": ("auditkit.report.markdown", "report.md"),
    "json": ("auditkit.report.json_report", "report.json"),
    "junit": ("auditkit.report.junit", "junit.xml"),
}
FORMATS = tuple(_FORMATS)


def write_reports(evidence: Any, folder: str | Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Write the reports of an audit's evidence into a folder, each whole or not at all; returns their paths.

    formats: any of `html`, `markdown`, `json`, `junit`. Raises InputError for another.
    """
    written = []
    for name in formats:
        if name not in _FORMATS:
            raise InputError(f"{name!r} is not a report format; {nearest(name, FORMATS)}")
        module, file = _FORMATS[name]
        path = Path(folder) / file
        write_atomically(path, import_module(module).render(evidence).encode("utf-8"))
        written.append(path)
    return written
