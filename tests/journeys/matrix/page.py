"""The matrix as a page of the documentation, and read back from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.journeys.matrix.cases import DISCIPLINES

PAGE = Path(__file__).parents[3] / "docs" / "matrix.md"
HEAD = """# What can be audited

Every line was run by `auditkit run` on a small subject; `make matrix` runs them again and writes this page, and the
tests hold each line against it. A letter stands for a reason, below its table.
"""


def write(parts: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """The page. parts: title of a table → case → discipline → "yes" or a reason."""
    page = [HEAD]
    for title, cases in parts.items():
        reasons = list(dict.fromkeys(said for row in cases.values() for said in row.values() if said != "yes"))
        letter = {reason: chr(ord("a") + at) for at, reason in enumerate(reasons)}
        page += [f"## {title}", "", "| | " + " | ".join(DISCIPLINES) + " |", "|---" * (len(DISCIPLINES) + 1) + "|"]
        for name, row in cases.items():
            cells = ["yes" if row[each] == "yes" else f"no ({letter[row[each]]})" for each in DISCIPLINES]
            page.append(f"| {name} | " + " | ".join(cells) + " |")
        page += ["", *(f"({mark}) {reason}  " for reason, mark in letter.items()), ""]
    return "\n".join(page).rstrip() + "\n"


def read(page: str) -> dict[str, dict[str, str]]:
    """Case → discipline → "yes" or the reason, of all tables of a page."""
    found: dict[str, dict[str, str]] = {}
    for part in page.split("\n## ")[1:]:
        lines = part.splitlines()
        reasons = {line[1]: line[4:].strip() for line in lines if line[:1] == "(" and line[2:4] == ") "}
        for line in lines:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and cells[0] and len(cells) == len(DISCIPLINES) + 1:
                said = [cell if cell == "yes" else reasons[cell[4]] for cell in cells[1:]]
                found[cells[0]] = dict(zip(DISCIPLINES, said, strict=True))
    return found
