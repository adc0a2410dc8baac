"""The Markdown report: fits a CI job summary, which is dropped whole above 1,024 kB.

Verdict line, gates, caveats, then each discipline's findings with short tables. What does not fit the budget is named,
not cut in the middle. Everything a user named is escaped: it can be no table border, tag, link, image or mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from auditkit.evidence.section import Section
from auditkit.report.content import Content, Discipline, Grid, content_of, grid_of

BUDGET = 900_000
"""Bytes of UTF-8 that a report may take."""
_TABLE_ROWS = 12
_SPECIAL = re.compile(r"([\\`*\[\]~|])|(?<![^\W_])(_)|(_)(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def render(evidence: Any) -> str:
    """The report as Markdown text, within the budget."""
    content = content_of(evidence)
    parts, left_out, used = [], [], 2_000  # what is kept back names what was left out
    for name, part in _parts(content):
        size = len(part.encode("utf-8")) + 1
        if used + size <= BUDGET:
            parts.append(part)
            used += size
        else:
            left_out.append(name)
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))[:1_500]
        parts.append(f"*Left out for its size, see report.html: {text(names)}.*\n")
    return "\n".join(parts)


def text(value: object) -> str:
    """Plain text as Markdown that shows it and does nothing else, on one line.

    >>> text("a|b <b> demographic_parity_ratio *x*")
    'a\\\\|b &lt;b&gt; demographic_parity_ratio \\\\*x\\\\*'
    """
    line = " ".join(str(value).split())
    line = "".join(_ENTITIES.get(character, character) for character in line)
    return _SPECIAL.sub(lambda match: "\\" + match.group(0), line)


def _parts(content: Content) -> Iterator[tuple[str, str]]:
    yield "verdict", _head(content)
    yield "gates", _gates(content)
    yield "caveats", _caveats(content)
    for discipline in content.disciplines:
        yield from _discipline(discipline)
    yield "evidence", _evidence(content)


def _head(content: Content) -> str:
    lines = [f"# {text(content.name)}: {content.label}", "", text(content.summary), ""]
    if content.subject:
        lines += [f"Audited: {text(content.subject)}", ""]
    return "\n".join(lines)


def _gates(content: Content) -> str:
    if not content.gates:
        return ""
    titles = ("verdict", "gate", "of", "condition", "value", "interval", "why")
    rows = tuple(
        (line.label, line.gate, line.subject, line.condition, line.value, line.interval, line.reason)
        for line in content.gates
    )
    return "## Gates\n\n" + _table(Grid(titles, rows))


def _caveats(content: Content) -> str:
    if not content.caveats:
        return ""
    lines = [f"- {text(caveat.analysis)}: {text(caveat.text)}" for caveat in content.caveats]
    return "## Read before trusting a number\n\n" + "\n".join(lines) + "\n"


def _discipline(discipline: Discipline) -> Iterator[tuple[str, str]]:
    yield discipline.name, f"## {text(discipline.title)}\n"
    first, *others = discipline.chapters
    if first.title:
        yield f"{discipline.name}/{first.title}", f"### {text(first.title)}\n"
    for section in first.sections:
        yield f"{discipline.name}/{section.key}", _section(section, "####" if first.title else "###")
    for chapter in others:
        count = f"{len(chapter.sections)} findings" if len(chapter.sections) > 1 else "one finding"
        told = f"<strong>{_inside_html(chapter.title)}</strong> ({count}): {_inside_html(chapter.sections[0].finding)}"
        inside = "\n".join(_section(section, "####") for section in chapter.sections)
        folded = f"<details><summary>{told}</summary>\n\n{inside}\n</details>\n"
        yield f"{discipline.name}/{chapter.title}", folded


def _section(section: Section, level: str) -> str:
    part = f"{level} {text(section.title)}\n\n{text(section.finding)}\n"
    if section.table is not None and section.table.num_rows:
        part += "\n" + _table(grid_of(section.table, _TABLE_ROWS))
    return part


def _inside_html(value: object) -> str:
    """Plain text on one line inside an HTML element, where Markdown is not read."""
    return "".join(_ENTITIES.get(character, character) for character in " ".join(str(value).split()))


def _evidence(content: Content) -> str:
    part = "## Evidence\n\n" + _table(Grid(("what", "digest"), content.digests))
    if content.ledger is not None:
        part += "\n" + _table(content.ledger)
    return part + f"\nAudited {text(content.created)}. Check it with `auditkit verify` and the audit's folder.\n"


def _table(grid: Grid) -> str:
    if not grid.rows:
        return ""
    marks = ["---:" if grid.numeric(index) else "---" for index in range(len(grid.columns))]
    lines = [grid.columns, *grid.rows]
    body = ["| " + " | ".join(text(cell) for cell in line) + " |" for line in lines]
    body.insert(1, "| " + " | ".join(marks) + " |")
    note = f"\n*{grid.left_out:,} more rows in report.html.*\n" if grid.left_out else ""
    return "\n".join(body) + "\n" + note
