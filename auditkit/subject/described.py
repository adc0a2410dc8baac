"""The subject that `audit.yaml` describes, put together; what cannot be audited is refused in one sentence.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.spec import AuditSpec, SchemaSpec
from auditkit.subject.builtin import builtin
from auditkit.subject.data import Role, Schema, Split
from auditkit.subject.formats import is_network_file
from auditkit.subject.load import introduced, load_model
from auditkit.subject.preprocessing import (
    AnyPreprocessing,
    ImagePreprocessing,
    SeriesPreprocessing,
    parse_preprocessing,
)
from auditkit.subject.preprocessing.tokenizer import read_tokenizer
from auditkit.subject.rows import load_data
from auditkit.subject.shares import deal_out

if TYPE_CHECKING:
    from auditkit.subject.model import Model
    from auditkit.subject.subject import Subject


def load_subject(spec: AuditSpec, base: Path, trust: bool = False) -> Subject:
    """What `audit.yaml` describes: model and splits, checked. base: the folder that its paths are relative to.

    trust: the caller's word that the model may be a pickle (`load_model`), which the file itself cannot give.
    """
    from auditkit.subject.blackbox.named import import_model, is_import_path
    from auditkit.subject.subject import Subject

    if spec.predictions is not None:
        return _stored(spec, base)
    if spec.model is None:
        how = f"run: auditkit train {spec.subject} --out models/{spec.subject}, and name that folder as model"
        raise InputError(f"audit.yaml: no model is named; {how if spec.subject else 'give the folder of a bundle'}")
    source: Any = _model_path(spec.model, base)
    if isinstance(source, Path) and is_import_path(spec.model):
        source = import_model(spec.model, base)
    model = _model_of(spec, source, base, trust)
    assert model.schema is not None
    shipped, known = builtin(spec.subject) if spec.subject else ({}, model.schema)
    columns = spec.columns.model_copy(update={"positive": model.class_of(spec.columns.positive)})
    schema = _meaning(model.schema, known, columns, model.preprocessing)
    arrays = isinstance(model.preprocessing, ImagePreprocessing | SeriesPreprocessing)
    array = model.preprocessing.columns[0] if arrays else "images"
    channels = model.preprocessing.shape[0] if isinstance(model.preprocessing, ImagePreprocessing) else None
    if spec.data.rows is not None:
        whole = load_data(
            _path(spec.data.rows, base), name="train", schema=schema, array=array, channels=channels,
            aliases=model.aliases,
        )  # fmt: skip
        shipped = deal_out(whole, spec.data.split)
    splits = []
    for name, role, source in _named(spec, shipped):
        rows: Any = shipped[source] if source in shipped else _path(source, base)
        splits.append(
            load_data(rows, name=name, role=role, schema=schema, array=array, channels=channels, aliases=model.aliases)
        )
    model = introduced(model, splits)
    model.schema = schema
    subject = Subject(spec.name if spec.name != "audit" else spec.subject or spec.name, model, tuple(splits), schema)
    check(subject)
    return subject


def _stored(spec: AuditSpec, base: Path) -> Subject:
    """Stored predictions in the place of a model."""
    from auditkit.subject.blackbox.stored import stored_subject, stored_task

    if spec.model is not None or spec.subject is not None:
        raise InputError("audit.yaml: predictions stand in the place of a model; name either model or predictions")
    shipped: dict[str, Split] = {}
    if spec.data.rows is not None:
        label, path = spec.columns.labels or spec.columns.label, _path(spec.data.rows, base)
        whole = load_data(path, name="train", label=label, features=(), task=stored_task(spec))
        shipped = deal_out(whole, spec.data.split)
    named = [(name, role, shipped.get(source, _path(source, base))) for name, role, source in _named(spec, shipped)]
    return stored_subject(spec, spec.name, named)


def _model_path(named: str, base: Path) -> str | Path:
    """An address as it is; a path from the folder of audit.yaml; or the name of a downloaded model."""
    if named.startswith(("hf:", "models:/", "runs:/")):
        return named
    path = _path(named, base)
    if path.exists() or is_network_file(path):
        return path
    from auditkit.subject.formats.huggingface import hub_folder

    return named if hub_folder(named) is not None else path


def _model_of(spec: AuditSpec, path: Any, base: Path, trust: bool) -> Model:
    """The model that `audit.yaml` names; of a network file it says the classes, and how rows become inputs."""
    given = None
    if spec.preprocessing is not None:
        given = parse_preprocessing(_with_tokenizer(spec.preprocessing, base), "audit.yaml: preprocessing")
    return load_model(
        path,
        classes=named_classes(spec.columns),
        preprocessing=given,
        features=spec.columns.features,
        device=spec.device,
        architecture=spec.architecture,
        arguments=spec.arguments,
        near=base,
        outputs=spec.outputs,
        takes=spec.takes,
        categories=spec.categories,
        keywords=spec.keywords,
        output=spec.output,
        trust=trust,
        task=spec.columns.task,
    )


def _with_tokenizer(content: dict[str, Any], base: Path) -> dict[str, Any]:
    """Preprocessing with its tokenizer read, where it names the file or folder of one."""
    named = content.get("tokenizer")
    if content.get("kind") != "tokenizer" or not isinstance(named, str) or named.lstrip().startswith("{"):
        return content
    return {**content, "tokenizer": read_tokenizer(_path(named, base))}


def check(subject: Subject) -> None:
    """Refuse what cannot be audited: labels, positive class, groups and features, split by split.

    Raises InputError for labels of one class or that the model has no output for, a positive class that does not
    occur in test, a sensitive column with one value in test, and features the model cannot take.
    """
    if not subject.of_role("test"):
        raise InputError("there is no test split; an audit judges a model on its test data: name its file as data.test")
    for split in subject.in_order():
        labels, where = split.labels, f"split {split.name!r} ({split.origin or 'in memory'})"
        subject.model.preprocessing.encode(split, np.arange(1))
        subject.model.preprocessing.irregularities(split)
        if split.role == "ood":
            continue
        marks = split.marks
        if marks is not None:
            _check_marks(marks, split)
        elif split.schema.label is None:
            raise InputError(f"{where}: no label column is named, so nothing can be judged; name it as columns.label")
        numbers = split.targets
        if numbers is not None and numbers.min() == numbers.max():
            raise InputError(
                f"{where}: label {split.schema.label!r} is {numbers[0]:g} in every row, so there is nothing to predict"
            )
        present = [subject.schema.classes[place] for place in np.unique(labels[labels >= 0])]
        of_classes = numbers is None and marks is None
        if of_classes and len(present) < 2 and not (subject.model.one_class and split.role != "test"):
            raise InputError(
                f"{where}: label {split.schema.label!r} has one class only ({present[0]!r}); "
                "nothing can be compared, give it rows of at least two"
            )
        if split.role != "test":
            continue
        if split.schema.positive is not None and split.schema.positive not in present:
            raise InputError(
                f"{where}: the positive class {split.schema.positive!r} does not occur in {split.schema.label!r}; "
                f"there are {', '.join(map(repr, present))}"
            )
        for name in split.schema.sensitive:
            values = pc.unique(split.column(name)).drop_null()
            if len(values) < 2:
                only = values[0].as_py() if len(values) else "missing"
                raise InputError(
                    f"{where}: sensitive column {name!r} has one value only ({only!r}); groups cannot be compared, "
                    "leave it out or give rows of another group"
                )


def _check_marks(marks: np.ndarray, split: Split) -> None:
    """Refuse several labels of which none varies; one that does not is said where it is judged."""
    if (marks == marks[0]).all():
        shown = ", ".join(split.schema.labels[:10])
        raise InputError(
            f"split {split.name!r} ({split.origin or 'in memory'}): every row has the same labels ({shown}); nothing "
            "can be compared"
        )


def _meaning(trained: Schema, known: Schema, columns: SchemaSpec, preprocessing: AnyPreprocessing) -> Schema:
    """The schema of an audit: the spec's word first, then the built-in subject's, then what the bundle recorded."""
    if columns.classes is not None and tuple(columns.classes) != trained.classes:
        raise InputError(
            f"audit.yaml: columns.classes are {', '.join(columns.classes)}, but the model's outputs are "
            f"{', '.join(trained.classes)}, in this order"
        )
    if known.classes != trained.classes:
        raise InputError(
            f"audit.yaml: the model tells {', '.join(trained.classes)} apart, the subject's classes are "
            f"{', '.join(known.classes)}; name a model that was trained on this subject"
        )
    features = preprocessing.columns
    for name in columns.features or ():
        if name not in features:
            raise InputError(
                f"audit.yaml: columns.features: the model has no input {name!r}; {nearest(name, features)}"
            )
    return Schema(
        features,
        trained.classes,
        None if trained.task == "multilabel" else columns.label or known.label or trained.label,
        columns.positive or known.positive or trained.positive,
        tuple(columns.sensitive or known.sensitive or trained.sensitive),
        trained.task,
        labels_of(trained, columns),
    )


def labels_of(trained: Schema, columns: SchemaSpec) -> tuple[str, ...]:
    """The columns of several labels: those named, or those the model was trained on."""
    if trained.task != "multilabel" and columns.labels:
        raise InputError(
            f"label names {len(columns.labels)} columns, but the model is one of {trained.task}; name its one column, "
            "or say task: multilabel where the model is loaded"
        )
    if trained.task == "multilabel" and columns.label is not None:
        raise InputError(
            f"label {columns.label!r} is one column, but the model gives {len(trained.classes)} labels "
            f"({', '.join(trained.classes[:10])}); name a column for each: label: [..., ...]"
        )
    return tuple(columns.labels) or trained.labels


def named_classes(columns: SchemaSpec) -> list[str] | None:
    """The classes that are named; of a regression the label, which is the name of what it predicts, or the labels."""
    if columns.task == "regression" and columns.classes is None and columns.label:
        return [columns.label]
    return columns.classes or columns.labels or None


def _named(spec: AuditSpec, shipped: dict[str, Split]) -> list[tuple[str, Role, str]]:
    """(name, role, source) of every split: those the spec names, or all of a built-in subject's where it names none."""
    named: list[tuple[str, Role, str]] = []
    for role in ("train", "validation", "test"):
        source = getattr(spec.data, role)
        if source is not None:
            named.append((role, role, source))
    if not named:
        named = [(split.name, split.role, split.name) for split in shipped.values()]
        named = [item for item in named if item[0] not in spec.data.ood]
    named += [(name, "ood", source) for name, source in spec.data.ood.items()]
    return named


def _path(source: str, base: Path) -> Path:
    return base / Path(source).expanduser()
