"""What an audit says on the terminal: the verdict first, then each gate and why."""

import sys

from auditkit.evidence.audit import Audit
from auditkit.evidence.metrics import MetricRow
from auditkit.theme import interval, number, verdict_label

HEADLINES = (
    ("performance/accuracy", "accuracy"),
    ("performance/auc", "AUC"),
)


def show_audit(audit: Audit, as_json: bool = False) -> None:
    """Print a finished audit: for a person, or as the JSON report for a machine."""
    if as_json:
        from auditkit.report.json_report import render

        sys.stdout.write(render(audit))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print()
    console.print(Text(f"{audit.info['name']}: {verdict_label(audit.verdict)}", style="bold"))
    if audit.gates:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("gate", "of", "condition", "verdict", "why"):
            table.add_column(title, overflow="fold")
        for result in audit.gates:
            cells = (result.gate, result.subject, result.condition, verdict_label(result.verdict), result.reason)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    for name, title in HEADLINES:
        for row in audit.rows:
            if row.name == name and row.split == "test" and not row.detail and row.status == "ok":
                console.print(f"{title} on test: {_shown(row)}")
    warnings = [caveat for caveat in audit.caveats if caveat.level == "warning"]
    if warnings:
        console.print(f"{len(warnings)} caveats to read before trusting a number; the first: ", end="")
        console.print(Text(warnings[0].text))
    console.print(f"evidence and reports: {audit.folder}", soft_wrap=True)


def _shown(row: MetricRow) -> str:
    text = number(row.value, row.unit, row.lower, row.upper)
    return f"{text} {interval(row.lower, row.upper, row.unit)}" if row.lower is not None else text
