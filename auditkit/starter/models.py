"""What a model says of itself: classes, columns, layers; and whether it takes the rows at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.errors import InputError
from auditkit.starter.columns import FEW, Column, columns_of
from auditkit.starter.identifiers import names_rows
from auditkit.starter.sources import Source
from auditkit.starter.target import Target, candidates
from auditkit.subject.data import Task

if TYPE_CHECKING:
    from auditkit.subject.model import Model

TASKS: tuple[Task, ...] = ("classification", "regression")
NOT_STARTED = "has several labels a row, and init writes audits of one; write audit.yaml with label: [..., ...] by hand"


@dataclass(frozen=True)
class Known:
    """A model as it was found. setting: what `model:` says. spelled: how labels may name the classes.

    takes: what it takes when that must be written down, features or preprocessing, as `audit.yaml` says it. task:
    whether it predicts classes or a number. why: how the label was found, where it was not named.
    """

    name: str
    setting: str
    classes: tuple[str, ...]
    label: str | None = None
    positive: str | None = None
    sensitive: tuple[str, ...] | None = None
    layers: tuple[str, ...] = ()
    spelled: Mapping[str, str] = field(default_factory=dict)
    takes: dict[str, Any] = field(default_factory=dict)
    architecture: str | None = None
    task: Task = "classification"
    why: str | None = None


def look_at_model(text: str, source: Source, label: str | None, architecture: str | None, trust: bool = False) -> Known:
    """A bundle, a network file or a Hugging Face or MLflow model. Runs no code but that of `architecture`, and of a
    pickle where it is to be trusted.

    Raises InputError for anything else, and for a model that does not take the rows at hand as they are.
    """
    from auditkit.subject.blackbox.named import is_import_path
    from auditkit.subject.bundle import OWN_ARCHITECTURES, RECORD, load_bundle, read_record

    if is_import_path(text):
        raise InputError(
            f"{text}: a function or estimator does not say what it takes; write audit.yaml with model: {text}, "
            "features under columns, and outputs where it is a function"
        )
    path = Path(text).expanduser()
    folder = path.parent if path.name == RECORD else path
    if not (folder / RECORD).is_file():
        return _trial(text, source, label, architecture, trust)
    record = read_record(folder)
    named = record.architecture.path
    if not named.startswith(OWN_ARCHITECTURES) and named != architecture:
        raise InputError(
            f"{folder}: the network is built by {named!r}, code outside auditkit; where you trust it, say so: "
            f"--architecture {named}"
        )
    if record.task not in TASKS:
        raise InputError(f"{folder}: {NOT_STARTED}")
    model = load_bundle(folder, "cpu", architecture, Path.cwd())
    own = None if named.startswith(OWN_ARCHITECTURES) else named
    return Known(
        folder.resolve().name, str(folder.resolve()), record.classes, record.label, record.positive, record.sensitive,
        tuple(model.layers()), architecture=own, task=record.task,
    )  # fmt: skip


def _trial(text: str, source: Source, label: str | None, architecture: str | None, trust: bool) -> Known:
    """Load the model with what the rows suggest, the likeliest first."""
    problem: InputError | None = None
    for given, target in _suggestions(source, label):
        try:
            model = _loaded(text, given, architecture, trust)
        except InputError as found:
            problem = found
            continue
        if model.task not in TASKS:
            raise InputError(f"{text}: {NOT_STARTED}")
        there = {*source.table.column_names, source.array}
        if lacking := [name for name in model.preprocessing.columns if name not in there]:
            problem = InputError(
                f"{text}: takes {', '.join(map(repr, lacking[:5]))}, which {source.shown} does not have"
            )
            continue
        path = Path(text).expanduser()
        setting = str(path.resolve()) if path.exists() else text
        name = path.stem if path.is_file() else path.name or text
        numbers = model.task == "regression" and target is not None and label is None
        return Known(
            name, setting, model.classes, layers=tuple(model.layers()) if "layers" not in model.lacks else (),
            spelled=getattr(model, "aliases", {}), takes=given, architecture=architecture, task=model.task,
            label=target.column.name if numbers and target else None, why=target.why if numbers and target else None,
        )  # fmt: skip
    raise problem or InputError(f"{text}: nothing in {source.shown} looks like what a model takes")


def _loaded(text: str, given: dict[str, Any], architecture: str | None, trust: bool) -> Model:
    from auditkit.subject.load import load_model
    from auditkit.subject.preprocessing import parse_preprocessing

    settings = dict(given)
    if "preprocessing" in settings:
        settings["preprocessing"] = parse_preprocessing(settings["preprocessing"], "preprocessing")
    return load_model(text, architecture=architecture, near=Path.cwd(), device="cpu", trust=trust, **settings)


def _suggestions(source: Source, label: str | None) -> list[tuple[dict[str, Any], Target | None]]:
    """What a model might take of these rows, and the label it may be about: its own word first, then the likeliest."""
    if source.array is not None:
        image = {"kind": "image", "array": source.array, "divisor": 255, "shape": list(source.shape)}
        classes = _classes(source, label)
        return [({"features": [source.array]}, None), ({"preprocessing": image, "classes": classes}, None)]
    columns = columns_of(source.table)
    words = [column for column in columns if column.holds == "category" and column.distinct > FEW]
    texts = [column.name for column in columns if column.holds == "text"] or [column.name for column in words]
    found: list[tuple[dict[str, Any], Target | None]] = [({}, None), *(({"features": [name]}, None) for name in texts)]
    for target in _targets(source, columns, label):
        wanted = [*([name] for name in texts), *_numbers(source, columns, target.column)]
        for names in wanted:
            if target.task == "classification":
                found.append(({"features": names, "classes": list(target.column.values)}, target))
        for names in wanted:
            if target.column.holds == "number" and target.column.distinct > 2:
                found.append(({"features": names, "task": "regression"}, target))
    return found


def _targets(source: Source, columns: Sequence[Column], label: str | None) -> list[Target]:
    """What may be the label, the likeliest first; then every other column of few values."""
    likely = candidates(source.table, columns)
    others = [column for column in reversed(columns) if column.few and column not in [one.column for one in likely]]
    found = [*likely, *(Target(column, "a guess, by what the model takes") for column in others)]
    if label is None:
        return found
    named = [Target(one.column, "as named", one.task) for one in found if one.column.name == label]
    numbers = [column for column in columns if column.name == label and column.holds == "number"]
    return named or [Target(column, "as named", "regression") for column in numbers]


def _numbers(source: Source, columns: Sequence[Column], target: Column) -> list[list[str]]:
    """Number columns that a model may take: those that speak of nobody and name no row, then more and more."""
    numbers = [column for column in columns if column.holds == "number" and column.name != target.name]
    measured = [column for column in numbers if not names_rows(source.table, column)]
    plain = [column for column in measured if not column.personal and not column.answer]
    ways = [[column.name for column in some] for some in (plain, measured, numbers)]
    return [names for place, names in enumerate(ways) if names and names not in ways[:place]]


def _classes(source: Source, label: str | None) -> list[str]:
    """The labels of a set of pictures."""
    few = [column for column in columns_of(source.table) if column.few or len(column.values) > 1]
    named = [column for column in few if column.name == (label or "label")] or few[-1:]
    return list(named[0].values) if named else []
