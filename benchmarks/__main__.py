"""Run every benchmark (or those named), print its table and keep it under `benchmarks/results/`.

A benchmark is a module here with `TITLE` and `rows() -> list[dict]`: each row is a line of its table.
"""

import importlib
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def hardware() -> str:
    """The processor, its cores, the GPU where there is one, and the versions that matter."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{model}, {os.cpu_count()} cores, {gpu}, Python {platform.python_version()}, torch {torch.__version__}"


def markdown(title: str, rows: list[dict[str, Any]]) -> str:
    """A benchmark's rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    when = datetime.now(UTC).isoformat(timespec="minutes")
    return f"# {title}\n\n{when} · {hardware()}\n\n" + "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Run the benchmarks of these names, all where none is given."""
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("__"))
    for name in names or known:
        module = importlib.import_module(f"benchmarks.{name}")
        text = markdown(module.TITLE, module.rows())
        print(text)
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
