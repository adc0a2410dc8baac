"""A finished audit written by the real RunFolder from made-up numbers: every discipline, hostile names throughout."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.evidence.store import RunFolder
from auditkit.gates import judge, overall
from auditkit.spec import Gate

SCRIPT = "<script>alert(1)</script>"
MARKUP = '**bold** $x$ "quotes" 🙂'
SHORTCODES = ":smile: :red[x] [a](http://b.example) <=50K -> _y_ `z` www.example.com"
HOSTILE = [SCRIPT, MARKUP]
DIGEST = "0123456789abcdef" * 4
TITLES = {
    "performance": "Performance",
    "fairness": "Fairness",
    "attribution": "Explanations",
    "activations": "Activations",
    "ood": "Out of distribution",
    "energy": "Energy",
    "elsewhere": "A discipline from elsewhere",
}


def metric_rows() -> dict[str, list[MetricRow]]:
    def row(analysis: str, metric: str, value: float, lower: float, upper: float, **more: Any) -> MetricRow:
        return MetricRow(analysis, metric, value=value, lower=lower, upper=upper, confidence=0.95, n=9769, **more)

    return {
        "performance": [
            row("performance", "accuracy", 0.8514, 0.8442, 0.8584, split="test", unit="rate", better="higher"),
            row("performance", "auc", 0.9071, 0.9003, 0.9138, split="test", better="higher"),
        ],
        "fairness": [
            row("fairness", "demographic_parity_ratio", 0.29, 0.26, 0.33, split="test", attribute=MARKUP, unit="ratio"),
            MetricRow(
                "fairness",
                "demographic_parity_ratio",
                split="test",
                attribute=SHORTCODES,
                status="insufficient",
                reason=f"group {SCRIPT} has 3 rows, fewer than 30",
            ),
        ],
        "ood": [row("ood", "auroc", 0.998, 0.996, 0.999, split=SCRIPT, detail="fused", better="higher")],
        "energy": [],
    }


def tables() -> dict[str, dict[str, pa.Table]]:
    """What the pages let a reader look through: predictions, and explanations of a few rows."""
    names = [SCRIPT, MARKUP, SHORTCODES, "it's"]
    n = 24
    labels = [names[row % 4] for row in range(n)]
    predictions = [names[(row + (row % 3 == 0)) % 4] for row in range(n)]
    methods = ["integrated_gradients", "grad_cam"]
    lines = [(method, row) for method in methods for row in range(n)]
    return {
        "performance": {
            "predictions": pa.table(
                {
                    "split": ["test"] * n,
                    "row": list(range(n)),
                    "label": labels,
                    "prediction": predictions,
                    "confidence": [0.5 + row / 100 for row in range(n)],
                    "correct": [label == made for label, made in zip(labels, predictions, strict=True)],
                }
            )
        },
        "attribution": {
            "methods": pa.table(
                {
                    "method": methods,
                    "title": ["Integrated Gradients", "Grad-CAM"],
                    "status": ["valid", "valid"],
                    "reason": ["", ""],
                    "complete": [True, False],
                    "signed": [True, False],
                    "direction": ["", ""],
                    "cost": ["", ""],
                }
            ),
            "rows": pa.table(
                {
                    "method": [method for method, _ in lines],
                    "row": [row for _, row in lines],
                    "label": [labels[row] for _, row in lines],
                    "prediction": [predictions[row] for _, row in lines],
                    "target": [f"log-odds of {SCRIPT}"] * len(lines),
                    "score": [float(row) for _, row in lines],
                    "baseline_score": [0.0] * len(lines),
                    "gap": [0.0] * len(lines),
                    "relative_gap": [0.001] * len(lines),
                }
            ),
            "explanations": pa.table(
                {
                    "method": [method for method, _ in lines for _ in (0, 1)],
                    "row": [row for _, row in lines for _ in (0, 1)],
                    "column": [MARKUP, SCRIPT] * len(lines),
                    "value": [value for _, row in lines for value in (row + 1.0, -1.0)],
                }
            ),
            "inputs": pa.table(
                {
                    "row": [row for row in range(n) for _ in (0, 1)],
                    "column": [MARKUP, SCRIPT] * n,
                    "value": [SHORTCODES, "1"] * n,
                }
            ),
        },
    }


def write_audit(
    root: Path, name: str = "adult", audit_id: str = "0123456789ab", leave_out: tuple[str, ...] = ()
) -> Path:
    """Write an audit under `root` and return its folder."""
    run = RunFolder(root / "".join(c if c.isalnum() else "-" for c in name) / audit_id)
    titles = {key: title for key, title in TITLES.items() if key not in leave_out}
    rows = metric_rows()
    caveats = [
        Caveat("fairness", f"{SHORTCODES} {SCRIPT} has too few rows", about=MARKUP),
        Caveat("ood", "a note", level="note"),
    ]
    for discipline in titles:
        run.write(discipline, Findings(metrics=rows.get(discipline, []), tables=tables().get(discipline, {})))
    gates = {
        "performance/accuracy": Gate(at_least=0.83),
        "demographic_parity_ratio": Gate(at_least=0.8, of=[MARKUP, SHORTCODES]),
        "auroc": Gate(at_least=0.95, of=["fused"], on_inconclusive="warn"),
        f"fairness/{SCRIPT}": Gate(at_most=0.1),
    }
    judged = judge([row for rows in rows.values() for row in rows], gates)
    split = {"rows": 9769, "digest": DIGEST, "role": "test", "origin": f"shapiq's table {MARKUP}"}
    record = {
        "name": name,
        "audit_id": audit_id,
        "created": "2026-03-04T05:06:07+00:00",
        "spec": {},
        "schema": {
            "classes": [SCRIPT, MARKUP],
            "positive": MARKUP,
            "sensitive": [SHORTCODES],
            "features": ["age", "hours"],
            "label": "income",
        },
        "identities": {
            "model": {
                "digest": DIGEST,
                "origin": f"trained {SCRIPT}",
                "parameters": 51234,
                "architecture": {"path": "auditkit.training.architectures.mlp:MLP"},
                "device": "cpu",
                "record": {},
            },
            "data": {"train": {**split, "role": "train"}, "test": split, SCRIPT: {**split, "role": "ood"}},
            "code": {"version": "0.1.0", "digest": DIGEST},
            "environment": {
                "python": "3.11.9",
                "system": "Linux x86_64",
                "processors": 2,
                "threads": 1,
                "device": "cpu",
                "libraries": {"torch": "2.13.0", "numpy": "2.0"},
            },
        },
        "titles": titles,
        "verdict": overall(judged),
        "gates": [asdict(result) for result in judged],
        "caveats": [asdict(caveat) for caveat in caveats],
        "ledger": [
            {
                "phase": "pass",
                "split": "test",
                "rows": 9769,
                "forwards": 9769,
                "backwards": 0,
                "forwards_per_row": 1.0,
            }
        ],
    }
    run.finish(list(titles), record)
    return run.folder


def tamper(folder: Path) -> None:
    """Change one number in audit.json, keeping it readable."""
    path = folder / "audit.json"
    content = json.loads(path.read_text())
    content["name"] = "someone else's"
    path.write_text(json.dumps(content))


VIEWS = """
import plotly.graph_objects as go
import pyarrow as pa
from auditkit import theme
from auditkit.evidence.section import Section

def sections(evidence):
    names = evidence.info["schema"]["classes"] + evidence.info["schema"]["sensitive"]
    figure = go.Figure(go.Bar(x=[theme.escape(name) for name in names], y=[1, 2, 3]))
    figure.update_layout(template=theme.template(), title=theme.escape(names[0]), yaxis_title="rate (%)")
    table = pa.table({names[0]: names, "value": ["1", "2", None]})
    finding = f"{names[0]} and {names[1]} differ from {names[2]}"
    return [Section("made-up", names[0], finding, figure, names[1], table, names[2])]
"""


def write_views(folder: Path) -> None:
    """An installed package that gives every discipline one more view, with hostile names in all it shows."""
    package = folder / "made_up_views-0.dist-info"
    package.mkdir(parents=True)
    (folder / "made_up_views.py").write_text(VIEWS, encoding="utf-8")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-views\nVersion: 0\n", encoding="utf-8")
    names = "".join(f"{name} = made_up_views:sections\n" for name in TITLES)
    (package / "entry_points.txt").write_text(f"[auditkit.views]\n{names}", encoding="utf-8")
