"""Loading: models, data and whole subjects from what a user names.

A model is a bundle folder or a live torch module; data are a file, a folder of pictures, a data frame or arrays.
`load_subject` puts together what `audit.yaml` describes and refuses, in one sentence, what cannot be audited.
Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError, nearest
from auditkit.spec import AuditSpec, SchemaSpec
from auditkit.subject.builtin import builtin
from auditkit.subject.data import OUTPUT, ROLES, Role, Schema, Split, Task, check_task, label_text
from auditkit.subject.formats import is_network_file, open_network, open_trusted
from auditkit.subject.formats.mlflow import is_mlflow
from auditkit.subject.images import from_arrays, read_folder, read_npz
from auditkit.subject.preprocessing import (
    AnyPreprocessing,
    ImagePreprocessing,
    Numeric,
    SeriesPreprocessing,
    TablePreprocessing,
    parse_preprocessing,
)
from auditkit.subject.preprocessing.tokenizer import read_tokenizer
from auditkit.subject.shares import deal_out
from auditkit.subject.tables import from_memory, is_table, read_table

if TYPE_CHECKING:
    from torch import nn

    from auditkit.evidence.metrics import Caveat
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
    takes: Literal["frame", "array", "dict", "tuple"] | None = None,
    categories: Sequence[str] = (),
    keywords: Sequence[str] = (),
    output: str | int | None = None,
    trust: bool = False,
    task: Task | None = None,
) -> Model:
    """A model from a bundle, network file, Hugging Face or MLflow model, or around a module, classifier or callable.

    A network file holds weights (safetensors, or a checkpoint of tensors alone), a TorchScript, `torch.export` or ONNX
    program; it is opened without running code from it. For weights, `architecture` names the network's class
    (`package.module:Class`, looked for in the folder `near` too) and `arguments` what it is built with. A network file
    and a live module need `classes` in the order of its outputs, and to be told how rows become its inputs: either
    `preprocessing`, or for a module that takes one float tensor [n, F] as it is, the names of its `features`.
    architecture: the import path that a bundle may build its network with too, where that is not auditkit's own.
    keywords: names under which the network takes its inputs, where it does not take them by position, or all of them as
    one dict (`takes="dict"`; `takes="tuple"`: as one tuple). output: which of several outputs is the logits, by key or
    place; `outputs` says whether these are logits or probabilities, where that was misread.
    A Hugging Face model is named by its folder or as `hf:organisation/model`, an MLflow model by its folder or as
    `models:/name/version` or `runs:/run/path`; they bring preprocessing, classes or columns of their own.
    task: what a network or callable predicts, a class or, as a "regression", one number for each row; then no classes
    are needed. Bundles and scikit-learn's estimators know it themselves.
    trust: pickles (whole networks, estimators) are opened too, which RUNS THEIR CODE, and the evidence says so.
    A classifier or callable is asked and not looked into: what needs gradients or layers is refused, the rest is
    audited. A callable says what it gives (`outputs`: probabilities, logits, margins or decisions) and takes
    (`takes`: a data frame of raw columns, or an array); `categories` are features to be given as pandas categories.
    Raises InputError for anything else, such as a pickle that is not trusted, which is not opened.
    """
    from torch import nn

    from auditkit.subject.blackbox import black_box, is_estimator
    from auditkit.subject.bundle import dry_run
    from auditkit.subject.formats.coded import with_codes
    from auditkit.subject.formats.program import limits_of
    from auditkit.subject.model import Model, pick_device
    from auditkit.subject.probabilities import understood

    if isinstance(source, Model):
        return _agreeing(source, task)
    if task is not None:
        check_task(task)
    if task == "regression":
        classes = classes or (OUTPUT,)
    if not isinstance(source, (str, Path, type, nn.Module)) and (is_estimator(source) or callable(source)):
        images = preprocessing if isinstance(preprocessing, ImagePreprocessing) else None
        if takes == "dict" or takes == "tuple":
            raise InputError(f"takes: a classifier or callable takes a frame or an array, not a {takes}")
        return black_box(
            source, classes=classes, features=features, outputs=outputs, takes=takes, categories=categories,
            preprocessing=images, task=task,
        )  # fmt: skip
    what = "a live module"
    told: tuple[Caveat, ...] = ()
    if isinstance(source, (str, Path)):
        asked: dict[str, Any] = {
            "classes": classes, "preprocessing": preprocessing, "features": features, "penultimate": penultimate,
            "device": device, "architecture": architecture, "arguments": arguments, "near": near, "outputs": outputs,
            "takes": takes, "categories": categories, "keywords": keywords, "output": output, "trust": trust,
            "task": task,
        }  # fmt: skip
        what = str(source)
        if is_mlflow(source):
            return _of_mlflow(what, asked)
        if not is_network_file(source):
            return _of_folder(what, asked)
        if trust:
            source, told = open_trusted(source, architecture, dict(arguments or {}), near)
            if not isinstance(source, nn.Module):
                model = load_model(source, **asked)
                return replace(model, origin=what, caveats=(*told, *model.caveats))
        else:
            source = open_network(source, architecture, dict(arguments or {}), near)
    if not isinstance(source, nn.Module):
        raise InputError(
            f"a model is a folder, a network file, a torch.nn.Module, a classifier or a callable, not "
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
    source = with_codes(source, preprocessing)
    model = Model(
        source, names, preprocessing, penultimate, pick_device(device),
        schema=Schema(preprocessing.columns, names, task=task or "classification"), task=task or "classification",
        origin="in memory" if what == "a live module" else what, lacks=limits_of(source), caveats=told,
        keywords=_keywords(keywords, preprocessing, what, takes), takes=_packed(takes, what), output=output,
    )  # fmt: skip
    if architecture is not None and what != "a live module":
        model.architecture = {"path": architecture, "arguments": dict(arguments or {})}
    dry_run(model)
    if model.task == "regression" and outputs is not None:
        raise InputError(f"{what}: a regression gives numbers, not {outputs}; leave outputs out")
    return understood(model, outputs)


def _agreeing(model: Model, task: Task | None) -> Model:
    """The model, where it predicts what it is said to."""
    if task is not None and task != model.task:
        raise InputError(f"{model.origin}: it is a model of {model.task}, not of {task}; leave task out")
    return model


def _of_mlflow(address: str, asked: Mapping[str, Any]) -> Model:
    """An MLflow model: what it comes down to, loaded, and where it came from."""
    from auditkit.subject.formats.mlflow import find_mlflow

    found = find_mlflow(address, asked["trust"])
    features = asked["features"] or found.features
    model = load_model(found.source, **{**asked, "features": features, "near": found.code or asked["near"]})
    return replace(model, origin=found.origin, caveats=(*found.caveats, *model.caveats))


def _of_folder(name: str, asked: Mapping[str, Any]) -> Model:
    """A bundle, or a Hugging Face model by its folder or name."""
    from auditkit.subject.bundle import OWN_ARCHITECTURES, RECORD, dry_run, load_bundle
    from auditkit.subject.formats.huggingface import hub_folder, is_folder, load_huggingface
    from auditkit.subject.probabilities import understood

    path = Path(name).expanduser()
    folder, origin = path, name
    if not path.exists() and (found := hub_folder(name, asked["trust"])):
        folder, origin = found, f"{name.removeprefix('hf:')}, revision {found.name}, from the Hugging Face hub"
    if (folder / RECORD).is_file() or not is_folder(folder):
        model = load_bundle(name, asked["device"], asked["architecture"], asked["near"])
        _agreeing(model, asked["task"])
        own = str(model.architecture.get("path", "")).startswith(OWN_ARCHITECTURES)
        return model if own else understood(model, asked["outputs"])
    if asked["task"] == "regression":
        raise InputError(f"{origin}: Hugging Face models are audited as classifiers; give the network itself instead")
    given = {key: asked[key] for key in ("classes", "preprocessing", "features", "penultimate", "device", "trust")}
    model = load_huggingface(folder, origin=origin, **given)
    dry_run(model)
    return model


def _packed(takes: str | None, what: str) -> Literal["dict", "tuple"] | None:
    """How a network takes its inputs together."""
    if takes in ("frame", "array"):
        raise InputError(f"{what}: takes: a network takes tensors, as a dict or a tuple where not one by one")
    return "dict" if takes == "dict" else "tuple" if takes == "tuple" else None


def _keywords(given: Sequence[str], preprocessing: AnyPreprocessing, what: str, takes: str | None) -> tuple[str, ...]:
    """Names of the inputs, one for each."""
    if takes == "dict" and not given:
        raise InputError(f"{what}: takes a dict, so the names of its inputs are needed: keywords=[...]")
    count = len(preprocessing.example())
    if given and len(given) != count:
        raise InputError(
            f"{what}: {len(given)} keywords are given ({', '.join(map(str, given))}), but rows become {count} "
            "input(s); name one for each"
        )
    return tuple(map(str, given))


def introduced(model: Model, splits: Sequence[Split]) -> Model:
    """The model, knowing the rows of an audit: a black box its columns' kinds, a tokenizer how long texts are."""
    from auditkit.subject.blackbox import BlackBoxModel
    from auditkit.subject.formats.huggingface import fitted_to

    return model.introduced_to(splits) if isinstance(model, BlackBoxModel) else fitted_to(model, splits)


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
    aliases: Mapping[str, str] | None = None,
    task: Task | None = None,
) -> Split:
    """A split from a file, a folder of pictures, a data frame, an Arrow table or a pair `(X, y)` of arrays.

    `schema` says what the columns mean; the arguments after it add to it or take its place. Without either, every
    column but the label and the sensitive ones is a feature, and the classes are the labels that occur. role: by
    default the name, where that is train, validation or test, and ood otherwise. array: what images are called. task:
    whether the labels are classes or, for a "regression", numbers.

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
    task = task or (schema.task if schema else "classification")
    if classes is None and task == "regression":
        classes = schema.classes if schema and schema.task == task else (label or OUTPUT,)
    elif classes is None:
        classes = schema.classes if schema else _classes(table, label, origin)
    if aliases and label is not None and label in table.column_names:
        table = _by_name(table, label, tuple(map(str, classes)), aliases)
    positive = label_text(positive) if positive is not None else schema.positive if schema else None
    meaning = Schema(tuple(features), tuple(map(str, classes)), label, positive, groups, task)
    return Split(name, role, table, meaning, arrays, origin)


def _by_name(table: pa.Table, label: str, classes: Sequence[str], aliases: Mapping[str, str]) -> pa.Table:
    """The table with classes by their names, where the label column holds their other words alone."""
    texts = [label_text(value) for value in table.column(label).to_pylist()]
    found = {text for text in texts if text is not None}
    if found <= set(classes) or not found <= set(aliases):
        return table
    named = pa.array([None if text is None else aliases[text] for text in texts], pa.string())
    return table.set_column(table.column_names.index(label), label, named)


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
    from auditkit.subject.blackbox.stored import stored_subject

    if spec.model is not None or spec.subject is not None:
        raise InputError("audit.yaml: predictions stand in the place of a model; name either model or predictions")
    shipped: dict[str, Split] = {}
    if spec.data.rows is not None:
        label, path = spec.columns.label, _path(spec.data.rows, base)
        shipped = deal_out(load_data(path, name="train", label=label, features=()), spec.data.split)
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
        if split.schema.label is None:
            raise InputError(f"{where}: no label column is named, so nothing can be judged; name it as columns.label")
        numbers = split.targets
        if numbers is not None and numbers.min() == numbers.max():
            raise InputError(
                f"{where}: label {split.schema.label!r} is {numbers[0]:g} in every row, so there is nothing to predict"
            )
        present = [subject.schema.classes[place] for place in np.unique(labels[labels >= 0])]
        if numbers is None and len(present) < 2 and not (subject.model.one_class and split.role != "test"):
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
        trained.task,
    )


def named_classes(columns: SchemaSpec) -> list[str] | None:
    """The classes that are named; of a regression the label, which is the name of what it predicts."""
    if columns.task == "regression" and columns.classes is None and columns.label:
        return [columns.label]
    return columns.classes


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
