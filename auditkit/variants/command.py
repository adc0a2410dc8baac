"""`auditkit variants`: make variants of a model, keep those that can be kept, and compare them with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditkit.engine.progress import Progress
from auditkit.errors import InputError, nearest
from auditkit.spec import AuditSpec, load_spec
from auditkit.subject.bundle import read_record, save_bundle
from auditkit.subject.described import load_subject
from auditkit.subject.model import Model
from auditkit.subject.subject import Subject
from auditkit.variants.compare import compare_variants
from auditkit.variants.derive import HOW, derive, name_of
from auditkit.variants.record import KeptComparison, keep
from auditkit.variants.view import side_by_side

WIDE = 24
"""Characters that a column with an interval takes."""


def subject_of(target: Path) -> tuple[Subject, AuditSpec]:
    """The subject of an audit.yaml, or of a bundle that was trained on a built-in one. Raises InputError for others."""
    if target.suffix in (".yaml", ".yml"):
        spec = load_spec(target)
        return load_subject(spec, target.resolve().parent), spec
    record = read_record(target)
    name = record.training.recipe.get("subject") if record.training else None
    if not name:
        raise InputError(
            f"{target}: this bundle does not say on which data it is to be judged; give an audit.yaml that names both"
        )
    spec = AuditSpec(name=str(name), subject=str(name), model=str(target.resolve()))
    return load_subject(spec, Path.cwd()), spec


def make_variants(
    subject: Subject, how: Sequence[str], shares: Sequence[float], structured: bool, progress: Progress
) -> list[Model]:
    """The variants of a subject's model, in the order asked for; a pruned one for each share."""
    splits = {split.name: split for split in subject.splits}
    made = []
    for one in how:
        if one not in HOW:
            raise InputError(f"there is no variant {one!r}; {nearest(one, HOW)}")
        for share in shares if one == "pruned" else (0.5,):
            progress.say(f"{subject.name}: making the {one} variant")
            model = subject.model
            made.append(derive(model, one, share=share, structured=structured, splits=splits, progress=progress))
    return made


def variants_command(
    target: Path,
    out: Path,
    *,
    how: Sequence[str],
    shares: Sequence[float],
    structured: bool = False,
    models: Path | None = None,
    speed: bool = True,
    quiet: bool = False,
) -> KeptComparison:
    """Make, compare and keep; `models` is a folder for the variants' bundles. Returns the evidence."""
    progress = Progress(quiet=quiet)
    subject, spec = subject_of(target)
    variants = make_variants(subject, how, shares, structured, progress)
    if models is not None:
        for variant in variants:
            folder = models / re.sub(r"[^a-z0-9]+", "-", name_of(variant)).strip("-")
            if not variant.architecture:
                progress.say(f"{name_of(variant)}: kept nowhere, as its network's code is not auditkit's own")
                continue
            progress.say(f"{name_of(variant)}: kept in {save_bundle(variant, folder)}")
    found = compare_variants(subject, variants, spec=spec, speed=speed, progress=progress)
    return keep(found, subject, spec, out)


def show(evidence: KeptComparison) -> None:
    """Print the verdict on each variant and all models side by side."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    models = evidence.tables["variants/models"].to_pylist()
    lines = evidence.tables["variants/differences"].to_pylist()
    console = Console(highlight=False)
    table = side_by_side(models, lines, evidence.rows, intervals=console.width >= WIDE * (len(models) + 1))
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(table.column_names):
        grid.add_column(Text(name), justify="left" if place == 0 else "right", overflow="fold")
    for row in table.to_pylist():
        grid.add_row(*(Text(_broken(str(cell))) for cell in row.values()))
    console.print(grid)
    console.print(Text("\n↓ worse, ↑ better beyond chance; intervals are in the report" if "↓" in str(table) else ""))
    for model in models[1:]:
        console.print(Text(f"{model['sentence']}"))
    console.print(Text(f"\nevidence and reports: {evidence.folder}"))


def _broken(cell: str) -> str:
    """A cell with its change on a line of its own."""
    return cell.replace(" (", "\n(", 1)


def as_json(evidence: KeptComparison) -> dict[str, Any]:
    """The comparison for a machine."""
    models = evidence.tables["variants/models"].to_pylist()
    return {
        "folder": str(evidence.folder),
        "verdicts": {model["name"]: model["sentence"] for model in models[1:]},
        "models": models,
        "differences": evidence.tables["variants/differences"].to_pylist(),
    }
