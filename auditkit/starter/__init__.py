"""`auditkit init`: from a model and its data, or from data alone, to files that run as they are.

    auditkit init models/income people.parquet      → audit.yaml                      → auditkit run audit.yaml
    auditkit init people_with_predictions.csv       → audit.yaml, without a model     → auditkit run audit.yaml
    auditkit init people.csv                        → recipe.yaml, audit.yaml         → auditkit train, auditkit run

Whatever cannot be known is guessed from names and values, written down with a comment that calls it a guess, and tried:
a file is only written after all that an audit checks before it starts has passed. Nothing is ever written over.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from auditkit.errors import InputError, nearest
from auditkit.evidence.manifest import write_atomically
from auditkit.spec import AuditSpec, parse
from auditkit.starter.guess import Guess, guess
from auditkit.starter.models import Known, look_at_model
from auditkit.starter.sources import LABEL, Source, look_at
from auditkit.starter.text import audit_text, recipe_text
from auditkit.starter.yaml_text import remark
from auditkit.subject.data import Split
from auditkit.terminal import own_command

RECIPE, BUNDLE = "recipe.yaml", "model"


def write_starter(
    data: Path,
    out: Path,
    model: str | None = None,
    label: str | None = None,
    architecture: str | None = None,
    train: bool = False,
    trust: bool = False,
) -> list[str]:
    """Write `out`, an audit.yaml, and a recipe beside it where there is neither a model nor stored predictions.

    label: the column of the truth, where it should not be guessed. architecture: an import path whose code may run to
    build the model. train: write a recipe even where the rows seem to hold predictions. trust: open the model even if
    it is a pickle, which runs its code. Returns lines that say what was guessed and which commands come next.
    Raises InputError where a file is there already, or nothing would run.
    """
    recipe = out.parent / RECIPE
    source = look_at(data)
    known = look_at_model(model, source, label, architecture, trust) if model is not None else None
    found = _guessed(source, known, label, look_for_answers=known is None and not train)
    to_train = known is None and found.answers is None
    if to_train and source.array is None and not found.features:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in [*found.left_out.items()][:5]) or "there is no other"
        raise InputError(
            f"{source.shown}: beside the label {found.label!r} no column is left to learn from ({why}); write a recipe "
            "that names them as columns.features"
        )
    for path in (out, recipe) if to_train else (out,):
        if path.exists():
            raise InputError(f"{path}: already there; name another file with --out, or remove it first")
    name = known.name if known is not None else _stem(data)
    content = audit_text(name, source, found, known, BUNDLE if to_train else None, out.parent)
    lines = _told(found)
    if to_train:
        learned = recipe_text(name, source, found, out.parent)
        _try_recipe(learned, out.parent)
        write_atomically(recipe, learned.encode())
        lines.append(f"wrote {recipe} and {out}; next:")
        lines.append(_command("train", str(recipe), "--out", str(out.parent / BUNDLE)))
    else:
        _try_audit(content, out.parent, trust)
        lines.append(f"wrote {out}; next:")
    write_atomically(out, content.encode())
    return [*lines, _command("run", str(out), *(["--trust"] if trust else []))]


def _command(*arguments: str) -> str:
    """A line that can be typed."""
    return f"  {own_command()} {shlex.join(arguments)}"


def _guessed(source: Source, known: Known | None, label: str | None, look_for_answers: bool) -> Guess:
    """The label is the one asked for, else the one the model was trained on, else the likeliest."""
    present = source.table.column_names
    if label is not None and label not in present:
        raise InputError(f"--label: {source.shown} has no column {label!r}; {nearest(label, present)}")
    if known is None:
        wanted = label or (LABEL if source.array is not None and LABEL in present else None)
        return guess(source.table, source.shown, wanted, None, look_for_answers)
    classes = known.classes if known.task == "classification" else None
    found = guess(source.table, source.shown, label or known.label, classes, False, known.spelled, known.task)
    why_task = "the model predicts a number" if known.task == "regression" else ""
    found = replace(found, why=known.why or found.why, why_task=why_task)
    told = tuple(name for name in known.sensitive or () if name in present)
    if told:
        found = replace(found, sensitive=told, why_sensitive="as the model was trained")
    return replace(found, positive=known.positive or found.positive)


def _told(found: Guess) -> list[str]:
    """What was guessed."""
    lines = [f"label: {found.label}  ({found.why})"]
    if found.task == "regression":
        lines.append(f"task: regression  ({found.why_task})")
    if found.positive is not None:
        lines.append(f"positive: {found.positive}  (the class a person gains, or is flagged by: make sure)")
    lines.append(f"sensitive: {', '.join(found.sensitive) or 'none found'}  ({found.why_sensitive})")
    if found.answers is not None:
        lines.append(f"predictions: {', '.join(found.answers.columns)}  ({found.answers.why})")
    return [remark(line) for line in lines]


def _try_audit(content: str, base: Path, trust: bool) -> None:
    """Everything that an audit checks before it starts."""
    from auditkit.subject.described import load_subject

    load_subject(parse(yaml.safe_load(content), AuditSpec, "audit.yaml"), base.resolve(), trust)


def _try_recipe(content: str, base: Path) -> None:
    """Everything that a training checks before it starts, and that the rows left for the audit can be judged."""
    from auditkit.subject.preprocessing import fit_preprocessing
    from auditkit.subject.rows import load_data
    from auditkit.subject.shares import deal_out
    from auditkit.training.command import recipe_data
    from auditkit.training.recipe import Recipe

    recipe: Recipe = parse(yaml.safe_load(content), Recipe, RECIPE)
    splits, schema = recipe_data(recipe, base.resolve())
    preprocessing = fit_preprocessing(splits["train"], schema, recipe.preprocessing)
    path = base.resolve() / (recipe.data.rows or recipe.data.test or "")
    test = load_data(path, name="test", schema=schema)
    if recipe.data.rows is not None:
        test = deal_out(test, recipe.data.split)["test"]
    for split in (splits["train"], splits["validation"], test):
        preprocessing.encode(split, np.arange(1))
        _ = split.targets  # refused where a number is missing or infinite
        judgeable(split, schema.label or "")


def judgeable(split: Split, label: str) -> None:
    """Refuse rows of one class, or of one group of people. Raises InputError."""
    for name in (label, *split.schema.sensitive):
        if len(split.column(name).unique().drop_null()) < 2:
            raise InputError(
                f"{split.origin}: {name!r} has one value only in the {split.name} part; give more rows, or a file for "
                "each split"
            )


def _stem(path: Path) -> str:
    """A name for the audit: that of the file or folder without its endings."""
    path = path.resolve()
    return path.name.split(".")[0] or path.name
