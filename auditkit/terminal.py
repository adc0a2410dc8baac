"""What an audit says on the terminal: the verdict first, then each gate and why."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from auditkit.evidence.audit import Audit
from auditkit.evidence.metrics import MetricRow
from auditkit.theme import interval, number, verdict_label

HEADLINES = (
    ("performance/accuracy", "accuracy"),
    ("performance/auc", "AUC"),
    ("performance/r2", "R²"),
    ("performance/mae", "mean absolute error"),
)


def show_audit(audit: Audit, as_json: bool = False) -> None:
    """Print a finished audit: for a person, or as the JSON report for a machine."""
    if as_json:
        from auditkit.report.json_report import render

        sys.stdout.write(render(audit))
        return
    for line in _lines(audit):
        print(line)


def _lines(audit: Audit) -> Iterator[str]:
    yield ""
    yield f"{audit.info['name']}: {verdict_label(audit.verdict)}"
    for result in audit.gates:
        of = f" of {result.subject}" if result.subject else ""
        yield f"  {verdict_label(result.verdict)}  {result.gate} {result.condition}{of}"
        yield f"      {result.reason}"
    for name, title in HEADLINES:
        for row in audit.rows:
            if row.name == name and row.split == "test" and not row.detail and row.status == "ok":
                yield f"  {title} on test: {_shown(row)}"
    warnings = [caveat for caveat in audit.caveats if caveat.level == "warning"]
    if warnings:
        count = f"{len(warnings)} caveats" if len(warnings) > 1 else "one caveat"
        yield f"  {count} to read before trusting a number: see the report"
    yield f"  evidence and reports: {audit.folder}"


def own_command() -> str:
    """How this command line was called, so that what is printed can be typed: `auditkit`, or its path where it is not
    on the search path."""
    called = Path(sys.argv[0])
    if called.name != "auditkit" or shutil.which("auditkit") == str(called.absolute()):
        return "auditkit"
    here = Path.cwd()
    return str(called.absolute().relative_to(here)) if called.absolute().is_relative_to(here) else str(called)


def _shown(row: MetricRow) -> str:
    text = number(row.value, row.unit, row.lower, row.upper)
    return f"{text} {interval(row.lower, row.upper, row.unit)}" if row.lower is not None else text
