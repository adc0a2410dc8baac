"""`python -m tests.journeys.matrix`: run every case and write the page anew."""

import tempfile
from pathlib import Path

from tests.journeys.matrix import PARTS
from tests.journeys.matrix.cases import outcome
from tests.journeys.matrix.page import PAGE, write

if __name__ == "__main__":
    parts = {}
    for title, cases in PARTS.items():
        parts[title] = {}
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                parts[title][case.name] = outcome(case, Path(folder))
            print(f"{case.name}: {parts[title][case.name]}", flush=True)
    PAGE.write_text(write(parts), encoding="utf-8")
