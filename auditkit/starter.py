"""A first audit.yaml: what can be told from a model and a data file, with every guess shown as one."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError
from auditkit.evidence.manifest import write_atomically
from auditkit.subject.bundle import BundleRecord, read_record
from auditkit.subject.tables import read_table

PERSONAL = ("sex", "gender", "race", "ethnic", "age", "religion", "nation", "disab", "marital", "orientation")
_MOST_GROUPS = 20


def write_spec(model: Path, data: Path, out: Path) -> list[str]:
    """Write a commented audit.yaml for a bundle and a table; returns lines that say what was guessed.

    Raises InputError where the file exists already, or model and data do not fit together.
    """
    if out.exists():
        raise InputError(f"{out}: already there; name another file with --out, or remove it first")
    record, table = read_record(model), read_table(data)
    label = _label(record, table, data)
    sensitive = _sensitive(table, label)
    content = _render(record, model.resolve(), data.resolve(), label, sensitive)
    write_atomically(out, content.encode())
    lines = [f"label: {label}" + ("" if label == record.label else "  (a guess: the only column with the classes)")]
    lines.append(f"sensitive: {', '.join(sensitive) or 'none found'}  (a guess, by name)")
    return [*lines, f"wrote {out}; run it with: auditkit run {out}"]


def _label(record: BundleRecord, table: pa.Table, data: Path) -> str:
    if record.label in table.column_names:
        return str(record.label)
    classes = set(record.classes)
    fitting = [
        name
        for name in table.column_names
        if len(values := set(pc.unique(table.column(name).cast(pa.string())).to_pylist()) - {None}) > 1
        and values <= classes
    ]
    if len(fitting) != 1:
        raise InputError(
            f"{data}: cannot tell which column is the label: the model was trained on {record.label!r}, and "
            f"{len(fitting)} columns hold its classes {', '.join(map(repr, record.classes[:5]))}; rename the column"
        )
    return fitting[0]


def _sensitive(table: pa.Table, label: str) -> list[str]:
    """Columns whose name speaks of people and that have a handful of values."""
    named = [name for name in table.column_names if name != label and any(word in name.lower() for word in PERSONAL)]
    return [name for name in named if 1 < len(pc.unique(table.column(name))) <= _MOST_GROUPS]


def _render(record: BundleRecord, model: Path, data: Path, label: str, sensitive: list[str]) -> str:
    positive = record.positive or record.classes[-1]
    gates = ["  performance/accuracy: {at_least: 0.8}   # yours to set: below this the model is of no use"]
    if sensitive:
        listed = json.dumps(sensitive, ensure_ascii=False)
        gates.append(f"  fairness/demographic_parity_ratio: {{at_least: 0.8, of: {listed}}}")
    quoted = [json.dumps(part, ensure_ascii=False) for part in (model.name, str(model), str(data), label, positive)]
    return f"""# An audit of {model.name}. Paths are relative to this file or absolute.
name: {quoted[0]}
model: {quoted[1]}
data:
  test: {quoted[2]}
  # train: the data it was trained on (the reference; out-of-distribution detectors are fitted on it)
  # validation: rows that thresholds and calibration are set on
  # ood: {{elsewhere: rows.parquet}}
columns:
  label: {quoted[3]}
  positive: {quoted[4]}   # the class a person gains, or is flagged by
  sensitive: {json.dumps(sensitive, ensure_ascii=False)}   # a guess, by name: make sure
gates:
{chr(10).join(gates)}
seed: 0
"""
