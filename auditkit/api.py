"""The Python way in: audit a live model on data at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.audit import Audit
from auditkit.run import run_audit
from auditkit.spec import AuditSpec, parse
from auditkit.subject.blackbox.stored import stored_subject
from auditkit.subject.bundle import save_bundle
from auditkit.subject.data import ROLES, Role, Schema, Task
from auditkit.subject.described import check, labels_of, named_classes
from auditkit.subject.load import introduced, load_model
from auditkit.subject.model import Model
from auditkit.subject.rows import load_data
from auditkit.subject.subject import Subject

__all__ = ["audit", "load_data", "load_model", "save_bundle"]


def audit(
    model: Model | nn.Module | str | Path | Any | None,
    data: Any,
    *,
    label: str | Sequence[str] | None = None,
    positive: str | None = None,
    sensitive: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    name: str = "audit",
    task: Task | None = None,
    gates: Mapping[str, Any] | None = None,
    out: str | Path = "reports",
    quiet: bool = True,
    **settings: Any,
) -> Audit:
    """Audit a model: one forward pass per row, every discipline, evidence under `out/<name>/<audit id>`.

    model: a bundle's folder, a loaded `Model`, any `torch.nn.Module` with logits as its output, or a scikit-learn
    classifier. Network files and callables are loaded first (`load_model`), since they need telling more. None where
    there is no model but stored predictions: `predictions={"score": "risk", "threshold": 0.5}`, as in `audit.yaml`.
    data: a mapping of split name (train, validation, test, or the name of an out-of-distribution set) to a table
    (path, DataFrame, Arrow) or to a `Split`; anything else is taken as the test split.
    label, positive, sensitive, classes, features: what the columns mean, where the model does not already say; a list
    of columns as `label` are several labels of 1 or 0, one for each output. task: what it predicts, a class or, as a
    "regression", a number, or as "multilabel" yes or no to each of them.
    gates: metric → condition, as in `audit.yaml`. settings: any other setting of `audit.yaml` (seed, fairness, ...).

    Raises InputError for wrong input, AuditError for an audit that could not finish.

    >>> audit(net, {"train": train, "test": test}, label="y", sensitive=["sex"])  # doctest: +SKIP
    """
    columns = {
        "task": task,
        "label": label if label is None or isinstance(label, str) else list(label),
        "positive": positive,
        "sensitive": list(sensitive),
        "classes": None if classes is None else list(classes),
        "features": None if features is None else list(features),
    }
    content = {"name": name, "columns": columns, "gates": dict(gates or {}), **settings}
    spec: AuditSpec = parse(content, AuditSpec, "audit")
    sources = data if isinstance(data, Mapping) else {"test": data}
    if model is None:
        named = [(str(split), _role(str(split)), source) for split, source in sources.items()]
        return run_audit(stored_subject(spec, name, named), spec, Path(out), Progress(quiet=quiet))
    if spec.predictions is not None:
        raise InputError("give a model, or stored predictions and None as the model, not both")
    loaded = load_model(
        model, classes=named_classes(spec.columns), features=features, device=spec.device,
        architecture=spec.architecture, arguments=spec.arguments, outputs=spec.outputs, takes=spec.takes,
        categories=spec.categories, keywords=spec.keywords, output=spec.output, task=spec.columns.task,
    )  # fmt: skip
    known = loaded.schema or Schema(loaded.preprocessing.columns, loaded.classes, task=loaded.task)
    schema = Schema(
        known.features,
        loaded.classes,
        None if loaded.multilabel else spec.columns.label or known.label,
        loaded.class_of(positive) or known.positive,
        tuple(sensitive or known.sensitive),
        loaded.task,
        labels_of(known, spec.columns),
    )
    splits = tuple(
        load_data(source, name=str(split), schema=schema, aliases=loaded.aliases) for split, source in sources.items()
    )
    loaded = introduced(loaded, splits)
    subject = Subject(name, loaded, splits, schema)
    check(subject)
    return run_audit(subject, spec, Path(out), Progress(quiet=quiet))


def _role(name: str) -> Role:
    return next((role for role in ROLES if role == name), "ood")
