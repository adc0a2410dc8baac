"""What every report says, as plain text in reading order; the formats only set it.

The verdict comes first and why, then what to read before trusting a number, then the disciplines, and last what was
audited, on what, at what cost, and how to check that the evidence is what the audit left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import Caveat
from auditkit.evidence.section import Chapter, Section, chapters_of
from auditkit.evidence.verdict import GateResult
from auditkit.theme import NO_VALUE, interval, number, verdict_label

ORDER = ("fail", "missing", "inconclusive", "pass")
_NUMERIC = re.compile(
    r"\[?[-−+]?\d[\d,.]*(e[-+]?\d+)?(, [-−+]?\d[\d,.]*(e[-+]?\d+)?\])?( (%|pts|rows|[a-zA-Zµ]{1,2}))?"
)
_ROLES = ("train", "validation", "test", "ood")
_SAID = {
    "pass": "No gate blocks the audit.",
    "fail": "The audit fails its policy.",
    "inconclusive": "The evidence does not decide.",
    "missing": "Evidence that the policy asks for is missing.",
}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table ready to be set: titles, and cells as text. `left_out` counts rows that were cut off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0

    def numeric(self, column: int) -> bool:
        """Whether a column holds only numbers, intervals and dashes, so that it is set to the right.

        >>> Grid(("n",), (("1,234",), ("–",))).numeric(0), Grid(("n",), (("a",),)).numeric(0)
        (True, False)
        """
        cells = [row[column] for row in self.rows if row[column] not in ("", NO_VALUE)]
        return bool(cells) and all(_is_numeric(cell) for cell in cells)


@dataclass(frozen=True, slots=True)
class GateLine:
    """A gate's result as text."""

    gate: str
    subject: str
    condition: str
    value: str
    interval: str
    n: str
    verdict: str
    label: str
    reason: str
    blocking: bool


@dataclass(frozen=True, slots=True)
class Discipline:
    """One discipline's sections under its title."""

    name: str
    title: str
    sections: tuple[Section, ...]

    @property
    def chapters(self) -> list[Chapter]:
        """The sections by chapter; one where there are none."""
        return chapters_of(self.sections)


@dataclass(frozen=True, slots=True)
class Facts:
    """Named facts about one thing: the model, the code, the machine."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A report before it is set."""

    name: str
    audit_id: str
    created: str
    verdict: str
    label: str
    summary: str
    subject: str
    gates: tuple[GateLine, ...]
    caveats: tuple[Caveat, ...]
    disciplines: tuple[Discipline, ...]
    facts: tuple[Facts, ...]
    data: Grid | None
    ledger: Grid | None
    digests: tuple[tuple[str, str], ...]
    verify: str


def content_of(evidence: Any) -> Content:
    """The content of a finished audit's evidence."""
    info, verdict = evidence.info, evidence.verdict
    identities = info.get("identities", {})
    gates = sorted(evidence.gates, key=lambda gate: ORDER.index(gate.verdict))
    folder = getattr(evidence, "folder", None)
    return Content(
        name=str(info.get("name", "audit")),
        audit_id=str(info.get("audit_id", "")),
        created=_when(str(info.get("created", ""))),
        verdict=verdict,
        label=verdict_label(verdict),
        summary=_summary(verdict, gates),
        subject=_subject(identities),
        gates=tuple(_gate_line(gate) for gate in gates),
        caveats=tuple(sorted(evidence.caveats, key=lambda caveat: caveat.level != "warning")),
        disciplines=tuple(_disciplines(evidence)),
        facts=tuple(_facts(identities)),
        data=_data(identities.get("data", {})),
        ledger=_ledger(info.get("ledger", [])),
        digests=tuple(_digests(info, identities)),
        verify=f"auditkit verify {folder.name if folder is not None else info.get('audit_id', 'RUN')}",
    )


def grid_of(table: pa.Table, limit: int) -> Grid:
    """An Arrow table as text, cut after `limit` rows; null is a dash.

    >>> grid_of(pa.table({"a": ["x", None]}), 1)
    Grid(columns=('a',), rows=(('x',),), left_out=1)
    """
    kept = table.slice(0, limit).to_pylist()
    names = table.column_names
    rows = tuple(tuple(NO_VALUE if row[name] is None else str(row[name]) for name in names) for row in kept)
    return Grid(tuple(names), rows, max(0, table.num_rows - limit))


def _is_numeric(cell: str) -> bool:
    return _NUMERIC.fullmatch(cell) is not None


def _when(created: str) -> str:
    """A moment as people write it, in UTC."""
    try:
        return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return created


def _summary(verdict: str, gates: Sequence[GateResult]) -> str:
    if not gates:
        return "No gates were set, so nothing was judged: the findings below are stated without a verdict."
    if all(gate.verdict == "pass" for gate in gates):
        return f"Every gate is passed: {len(gates)} result" + ("s." if len(gates) != 1 else ".")
    counts = {name: sum(gate.verdict == name for gate in gates) for name in ORDER}
    words = {
        "pass": ("passes", "pass"),
        "fail": ("fails", "fail"),
        "inconclusive": ("is inconclusive", "are inconclusive"),
        "missing": ("is missing its evidence", "are missing their evidence"),
    }
    parts = [f"{count} {words[name][count != 1]}" for name, count in counts.items() if count]
    total = f"{len(gates)} gate result" + ("s" if len(gates) != 1 else "")
    return f"{_SAID.get(verdict, '')} Of {total}, {_listed(parts)}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _subject(identities: Mapping[str, Any]) -> str:
    """One line on what was audited: the model, its size, and the rows it was judged on."""
    parts = []
    model = identities.get("model") or {}
    if model:
        kind = str((model.get("architecture") or {}).get("path", "model")).rpartition(".")[2].rpartition(":")[2]
        parameters = model.get("parameters")
        size = f" with {number(parameters, 'rows')} parameters" if parameters is not None else ""
        digest = str(model.get("digest", ""))
        what = "weights" if parameters is not None else "digest"
        parts.append(f"{kind}{size}" + (f", {what} {digest[:12]}" if digest else ""))
    for name, split in (identities.get("data") or {}).items():
        if not model or split.get("role") == "test":
            parts.append(f"{number(split.get('rows'), 'rows')} rows of {name}")
    return " · ".join(parts)


def _gate_line(gate: GateResult) -> GateLine:
    return GateLine(
        gate=gate.gate,
        subject=gate.subject,
        condition=gate.condition,
        value=number(gate.value, gate.unit, gate.lower, gate.upper),
        interval=interval(gate.lower, gate.upper, gate.unit),
        n=number(gate.n, "rows"),
        verdict=gate.verdict,
        label=verdict_label(gate.verdict),
        reason=gate.reason,
        blocking=gate.blocking,
    )


def _disciplines(evidence: Any) -> Iterable[Discipline]:
    for name, sections in evidence.sections().items():
        if sections:
            yield Discipline(name, evidence.titles.get(name, name.capitalize()), tuple(sections))


def _facts(identities: Mapping[str, Any]) -> Iterable[Facts]:
    titles = {"model": "Model", "code": "Code", "environment": "Environment"}
    known = [name for name in titles if name in identities]
    others = [name for name in identities if name not in titles and name != "data"]
    for name in (*known, *others):
        lines = tuple(_flat(identities[name]))
        if lines:
            yield Facts(titles.get(name, name.capitalize()), lines)


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """A nested record as lines; lists of plain values on one line, long histories left to the evidence."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key != "record":  # the training's curves and costs are shown where they are judged
                yield from _flat(part, f"{path} {key}".strip())
    elif isinstance(value, (list, tuple)):
        plain = [str(part) for part in value if not isinstance(part, (Mapping, list, tuple))]
        yield path, ", ".join(plain[:12]) + (" …" if len(plain) > 12 else "") or f"{len(value)} records"
    elif value not in (None, ""):
        yield path, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _data(data: Mapping[str, Any]) -> Grid | None:
    if not data:
        return None
    rows = tuple(
        (
            str(name),
            str(split.get("role", "")),
            number(split.get("rows"), "rows"),
            str(split.get("origin", "")),
            str(split.get("digest", ""))[:16],
        )
        for name, split in sorted(data.items(), key=lambda item: _place(item[1]))
    )
    return Grid(("split", "role", "rows", "origin", "digest (SHA-256, first 16)"), rows)


def _place(split: Mapping[str, Any]) -> int:
    """The place of a split's role in the order of the pass."""
    return _ROLES.index(split["role"]) if split.get("role") in _ROLES else len(_ROLES)


def _ledger(entries: Sequence[Mapping[str, Any]]) -> Grid | None:
    """The cost ledger: how often each phase sent a row through the model."""
    if not entries:
        return None
    per_row = [entry.get("forwards_per_row") for entry in entries]
    rows = tuple(
        (
            str(entry["phase"]),
            str(entry["split"]),
            number(entry.get("rows"), "rows"),
            number(entry.get("forwards"), "rows"),
            NO_VALUE if ratio is None else f"{ratio:,.4g}" if ratio < 1000 else f"{ratio:,.0f}",
            number(entry.get("backwards"), "rows"),
        )
        for entry, ratio in zip(entries, per_row, strict=True)
    )
    return Grid(("phase", "split", "different rows", "rows forwarded", "forwards per row", "rows differentiated"), rows)


def _digests(info: Mapping[str, Any], identities: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "audit", str(info.get("audit_id", ""))
    for name in ("model", "code"):
        digest = (identities.get(name) or {}).get("digest")
        if digest:
            yield name, str(digest)
    if info.get("result_digest"):
        yield "results", str(info["result_digest"])
