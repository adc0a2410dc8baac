"""Loading: models, data and whole subjects from what a user names.

A model is a bundle folder or a live torch module; data are a file, a folder of pictures, a data frame or arrays.
`load_subject` puts together what `audit.yaml` describes and refuses, in one sentence, what cannot be audited.
Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.spec import AuditSpec, SchemaSpec
from auditkit.subject.builtin import builtin
from auditkit.subject.data import ROLES, Role, Schema, Split, label_text
from auditkit.subject.formats import is_network_file, open_network
from auditkit.subject.images import from_arrays, read_folder, read_npz
from auditkit.subject.preprocessing import (
    AnyPreprocessing,
    ImagePreprocessing,
    Numeric,
    SeriesPreprocessing,
    TablePreprocessing,
    parse_preprocessing,
)
from auditkit.subject.tables import from_memory, is_table, read_table

if TYPE_CHECKING:
    from torch import nn

    from auditkit.subject.blackbox.answers import Outputs
    from auditkit.subject.model import Model
    from auditkit.subject.subject import Subject

KINDS = ".parquet, .csv, .tsv, .csv.gz, .arrow, .feather, .npz or a folder of pictures"


def load_model(
    source: str | Path | nn.Module | Model | Any,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: AnyPreprocessing | None = None,
    features: Sequence[str] | None = None,
    penultimate: str | None = None,
    device: str = "auto",
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    near: Path | None = None,
    outputs: Outputs | None = None,
    takes: Literal["frame", "array"] | None = None,
    categories: Sequence[str] = (),
) -> Model:
    """A model from a bundle folder or a network file, or around a live module, a scikit-learn classifier or a callable.

    A network file holds weights (safetensors, or a checkpoint of tensors alone), a TorchScript, `torch.export` or ONNX
    program; it is opened without running code from it. For weights, `architecture` names the network's class
    (`package.module:Class`, looked for in the folder `near` too) and `arguments` what it is built with. A network file
    and a live module need `classes` in the order of its outputs, and to be told how rows become its inputs: either
    `preprocessing`, or for a module that takes one float tensor [n, F] as it is, the names of its `features`.
    architecture: the import path that a bundle may build its network with too, where that is not auditkit's own.
    A classifier or callable is asked and not looked into: what needs gradients or layers is refused, the rest is
    audited. A callable says what it gives (`outputs`: probabilities, logits, margins or decisions) and takes
    (`takes`: a data frame of raw columns, or an array); `categories` are features to be given as pandas categories.
    Raises InputError for anything else, such as a checkpoint that pickles more than tensors, which is not opened.
    """
    from torch import nn

    from auditkit.subject.blackbox import black_box, is_estimator
    from auditkit.subject.bundle import dry_run, load_bundle
    from auditkit.subject.formats.program import limits_of
    from auditkit.subject.model import Model, pick_device

    if isinstance(source, Model):
        return source
    if not isinstance(source, (str, Path, type, nn.Module)) and (is_estimator(source) or callable(source)):
        images = preprocessing if isinstance(preprocessing, ImagePreprocessing) else None
        return black_box(
            source, classes=classes, features=features, outputs=outputs, takes=takes, categories=categories,
            preprocessing=images,
        )  # fmt: skip
    what = "a live module"
    if isinstance(source, (str, Path)):
        if not is_network_file(source):
            return load_bundle(source, device, architecture, near)
        what, source = str(source), open_network(source, architecture, dict(arguments or {}), near)
    if not isinstance(source, nn.Module):
        raise InputError(
            f"a model is a bundle folder, a network file, a torch.nn.Module, a classifier or a callable, not "
            f"{type(source).__name__}"
        )
    if classes is None:
        raise InputError(f"{what} needs the names of its classes, in the order of its outputs: classes=[...]")
    if preprocessing is None:
        if features is None:
            raise InputError(
                f"{what} must be told how rows become its inputs: features=[...] names the number columns it takes as "
                "they are, preprocessing=... gives scaling and vocabularies"
            )
        preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=str(name)) for name in features))
    names = tuple(map(str, classes))
    model = Model(
        source, names, preprocessing, penultimate, pick_device(device), schema=Schema(preprocessing.columns, names),
        origin="in memory" if what == "a live module" else what, lacks=limits_of(source),
    )  # fmt: skip
    if architecture is not None and what != "a live module":
        model.architecture = {"path": architecture, "arguments": dict(arguments or {})}
    dry_run(model)
    return model


def load_data(
    source: Any,
    *,
    name: str = "test",
    role: Role | None = None,
    schema: Schema | None = None,
    label: str | None = None,
    positive: str | None = None,
    classes: Sequence[str] | None = None,
    sensitive: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    array: str = "images",
    channels: int | None = None,
) -> Split:
    """A split from a file, a folder of pictures, a data frame, an Arrow table or a pair `(X, y)` of arrays.

    `schema` says what the columns mean; the arguments after it add to it or take its place. Without either, every
    column but the label and the sensitive ones is a feature, and the classes are the labels that occur. role: by
    default the name, where that is train, validation or test, and ood otherwise. array: what images are called.

    >>> split = load_data((np.zeros((4, 2)), [0, 1, 0, 1]), features=["a", "b"])
    >>> split.schema.features, split.schema.classes, split.labels.tolist()
    (('a', 'b'), ('0', '1'), [0, 1, 0, 1])
    """
    role = role or (name if name in ROLES else "ood")
    if role not in ROLES:
        raise InputError(f"split {name!r}: unknown role {role!r}; {nearest(str(role), ROLES)}")
    label = label or (schema.label if schema else None)
    if isinstance(source, Split):
        table, arrays, origin, schema = source.table, dict(source.arrays), source.origin, schema or source.schema
        label = label or schema.label
    else:
        table, arrays, origin, label = _rows(source, label, array, channels, features)
    if table.num_rows == 0:
        raise InputError(f"split {name!r} ({origin}) is empty: give it at least one row")
    if label is not None and role != "ood" and label not in table.column_names:
        raise InputError(
            f"{origin} (split {name!r}) has no label column {label!r}; {nearest(label, table.column_names)}"
        )
    groups = tuple(sensitive if sensitive is not None else schema.sensitive if schema else ())
    if role != "ood":
        for column in groups:
            if column not in table.column_names:
                known = nearest(column, table.column_names)
                raise InputError(f"{origin} (split {name!r}) has no sensitive column {column!r}; {known}")
    if features is None:
        features = schema.features if schema else _features(table, arrays, label, groups)
    if classes is None:
        classes = schema.classes if schema else _classes(table, label, origin)
    positive = label_text(positive) if positive is not None else schema.positive if schema else None
    meaning = Schema(tuple(features), tuple(map(str, classes)), label, positive, groups)
    return Split(name, role, table, meaning, arrays, origin)


def load_subject(spec: AuditSpec, base: Path) -> Subject:
    """What `audit.yaml` describes: model and splits, checked. base: the folder that its paths are relative to."""
    from auditkit.subject.subject import Subject

    if spec.model is None:
        how = f"run: auditkit train {spec.subject} --out models/{spec.subject}, and name that folder as model"
        raise InputError(f"audit.yaml: no model is named; {how if spec.subject else 'give the folder of a bundle'}")
    model = _model_of(spec, _path(spec.model, base), base)
    assert model.schema is not None
    shipped, known = builtin(spec.subject) if spec.subject else ({}, model.schema)
    schema = _meaning(model.schema, known, spec.columns, model.preprocessing)
    arrays = isinstance(model.preprocessing, ImagePreprocessing | SeriesPreprocessing)
    array = model.preprocessing.columns[0] if arrays else "images"
    channels = model.preprocessing.shape[0] if isinstance(model.preprocessing, ImagePreprocessing) else None
    splits = []
    for name, role, source in _named(spec, shipped):
        rows: Any = shipped[source] if source in shipped else _path(source, base)
        splits.append(load_data(rows, name=name, role=role, schema=schema, array=array, channels=channels))
    model.schema = schema
    subject = Subject(spec.name if spec.name != "audit" else spec.subject or spec.name, model, tuple(splits), schema)
    check(subject)
    return subject


def _model_of(spec: AuditSpec, path: Path, base: Path) -> Model:
    """The model that `audit.yaml` names; of a network file it says the classes, and how rows become inputs."""
    given = None
    if is_network_file(path) and spec.preprocessing is not None:
        given = parse_preprocessing(spec.preprocessing, "audit.yaml: preprocessing")
    return load_model(
        path,
        classes=spec.columns.classes,
        preprocessing=given,
        features=spec.columns.features,
        device=spec.device,
        architecture=spec.architecture,
        arguments=spec.arguments,
        near=base,
    )


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
        if split.schema.label is None:
            raise InputError(f"{where}: no label column is named, so nothing can be judged; name it as columns.label")
        present = [subject.schema.classes[place] for place in np.unique(labels)]
        if len(present) < 2 and not (subject.model.one_class and split.role != "test"):
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


def _rows(
    source: Any, label: str | None, array: str, channels: int | None, features: Sequence[str] | None
) -> tuple[pa.Table, dict[str, np.ndarray], str, str | None]:
    """Table, arrays, where they came from, and the label column."""
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if path.is_dir():
            table, arrays = read_folder(path, label or "label", array, channels)
            return table, arrays, str(path), label or ("label" if "label" in table.column_names else None)
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        if path.suffix.lower() == ".npz":
            return *read_npz(path), str(path), label
        if is_table(path):
            return read_table(path), {}, str(path), label
        raise InputError(f"{path}: data of this kind are not read; give {KINDS}")
    if isinstance(source, tuple) and len(source) == 2:
        table, arrays = _pair(source[0], source[1], label or "label", array, features)
        return table, arrays, "in memory", label or ("label" if source[1] is not None else None)
    if isinstance(source, pa.Table) or hasattr(source, "__arrow_c_stream__") or hasattr(source, "columns"):
        return from_memory(source), {}, "in memory", label
    raise InputError(
        f"data are a path ({KINDS}), a data frame, an Arrow table or a pair (X, y) of arrays, "
        f"not {type(source).__name__}"
    )


def _pair(
    X: Any, y: Any, label: str, array: str, features: Sequence[str] | None
) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """`(X, y)` as a table, and as an array where X are images. y may be None."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(X, pa.Table) or hasattr(X, "columns"):
        table = from_memory(X)
    else:
        values = np.asarray(X)
        if values.ndim == 2 and features is not None:
            if len(features) != values.shape[1]:
                raise InputError(f"X has {values.shape[1]} columns, but {len(features)} features are named")
            table = pa.table({str(n): values[:, place] for place, n in enumerate(features)})
        elif values.ndim in (2, 3, 4):
            table, arrays = from_arrays({"x" if values.ndim == 2 else array: values}, "X")
        else:
            raise InputError(f"X must be a table [n, F] or images [n, H, W] or [n, C, H, W], found {values.shape}")
    if y is None:
        return table, arrays
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != table.num_rows:
        raise InputError(f"y must have one label per row of X: X has {table.num_rows} rows, y is {labels.shape}")
    if label in table.column_names:
        raise InputError(f"X already has a column {label!r}; name the labels otherwise with label=...")
    return table.append_column(label, pa.array(labels.tolist())), arrays


def _features(
    table: pa.Table, arrays: dict[str, np.ndarray], label: str | None, sensitive: Sequence[str]
) -> tuple[str, ...]:
    return tuple(arrays) or tuple(name for name in table.column_names if name != label and name not in sensitive)


def _classes(table: pa.Table, label: str | None, origin: str) -> tuple[str, ...]:
    """The labels that occur, numbers in the order of their size."""
    if label is None or label not in table.column_names:
        raise InputError(
            f"{origin}: the classes are not known; name the label column (label=...) or give classes=[...]"
        )
    found = {text for value in pc.unique(table.column(label)).to_pylist() if (text := label_text(value)) is not None}
    whole = all(text.lstrip("-").isdigit() for text in found)
    return tuple(sorted(found, key=int) if whole else sorted(found))


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
        columns.label or known.label or trained.label,
        columns.positive or known.positive or trained.positive,
        tuple(columns.sensitive or known.sensitive or trained.sensitive),
    )


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
