"""What a model says of itself: classes, columns, layers; and whether it takes the rows at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.errors import InputError
from auditkit.starter.columns import FEW, columns_of
from auditkit.starter.sources import Source

if TYPE_CHECKING:
    from auditkit.subject.model import Model


@dataclass(frozen=True)
class Known:
    """A model as it was found. setting: what `model:` says. spelled: how labels may name the classes.

    takes: what it takes when that must be written down, features or preprocessing, as `audit.yaml` says it.
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
    model = load_bundle(folder, "cpu", architecture, Path.cwd())
    own = None if named.startswith(OWN_ARCHITECTURES) else named
    return Known(
        folder.resolve().name, str(folder.resolve()), record.classes, record.label, record.positive, record.sensitive,
        tuple(model.layers()), architecture=own,
    )  # fmt: skip


def _trial(text: str, source: Source, label: str | None, architecture: str | None, trust: bool) -> Known:
    """Load the model with what the rows suggest, the likeliest first."""
    problem: InputError | None = None
    for given in _suggestions(source, label):
        try:
            model = _loaded(text, given, architecture, trust)
        except InputError as found:
            problem = found
            continue
        if model.task == "regression":
            raise InputError(
                f"{text}: predicts a number, and init writes audits of classifiers; name model, data and gates in "
                "audit.yaml by hand, with columns: {task: regression, label: ...}"
            )
        there = {*source.table.column_names, source.array}
        if lacking := [name for name in model.preprocessing.columns if name not in there]:
            problem = InputError(
                f"{text}: takes {', '.join(map(repr, lacking[:5]))}, which {source.shown} does not have"
            )
            continue
        path = Path(text).expanduser()
        setting = str(path.resolve()) if path.exists() else text
        name = path.stem if path.is_file() else path.name or text
        return Known(
            name, setting, model.classes, layers=tuple(model.layers()) if "layers" not in model.lacks else (),
            spelled=getattr(model, "aliases", {}), takes=given, architecture=architecture,
        )  # fmt: skip
    raise problem or InputError(f"{text}: nothing in {source.shown} looks like what a model takes")


def _loaded(text: str, given: dict[str, Any], architecture: str | None, trust: bool) -> Model:
    from auditkit.subject.load import load_model
    from auditkit.subject.preprocessing import parse_preprocessing

    settings = dict(given)
    if "preprocessing" in settings:
        settings["preprocessing"] = parse_preprocessing(settings["preprocessing"], "preprocessing")
    return load_model(text, architecture=architecture, near=Path.cwd(), device="cpu", trust=trust, **settings)


def _suggestions(source: Source, label: str | None) -> list[dict[str, Any]]:
    """What a model might take of these rows: its own word first, then what the file suggests."""
    if source.array is not None:
        image = {"kind": "image", "array": source.array, "divisor": 255, "shape": list(source.shape)}
        classes = _classes(source, label)
        return [{"features": [source.array]}, {"preprocessing": image, "classes": classes}]
    columns = columns_of(source.table)
    words = [column for column in columns if column.holds == "category" and column.distinct > FEW]
    texts = [column.name for column in columns if column.holds == "text"] or [column.name for column in words]
    found: list[dict[str, Any]] = [{}, *({"features": [name]} for name in texts)]
    for target in [column for column in reversed(columns) if column.few and (label is None or column.name == label)]:
        numbers = [column for column in columns if column.holds == "number" and column.name != target.name]
        plain = [column.name for column in numbers if not column.personal and not column.answer]
        every = [column.name for column in numbers]
        wanted: list[Sequence[str]] = [plain] if plain == every else [plain, every]
        found += [{"features": [name], "classes": list(target.values)} for name in texts]
        found += [{"features": list(names), "classes": list(target.values)} for names in wanted if names]
    return found


def _classes(source: Source, label: str | None) -> list[str]:
    """The labels of a set of pictures."""
    few = [column for column in columns_of(source.table) if column.few or len(column.values) > 1]
    named = [column for column in few if column.name == (label or "label")] or few[-1:]
    return list(named[0].values) if named else []
