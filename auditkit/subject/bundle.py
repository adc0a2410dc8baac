"""A model on disk: a folder with `model.safetensors` (weights) and `model.json` (everything else).

The record says how to build the network (an import path and arguments), how rows become tensors (preprocessing), what
the outputs mean (classes, positive class), and how the model was trained. Weights are safetensors, which hold numbers
and cannot run code; a pickled checkpoint is refused without being opened. Code is another matter: the record names a
class to build, and a bundle may come from anyone. Classes of `auditkit.training.architectures` are always allowed;
any other only where the caller names the very same import path.

Each file appears whole or not at all, the record last; it carries the SHA-256 of the weights, so that weights that
are not the recorded ones are refused.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat
from auditkit.spec import parse
from auditkit.subject.data import Schema, Task
from auditkit.subject.model import Model, pick_device
from auditkit.subject.preprocessing import Preprocessing

WEIGHTS, RECORD = "model.safetensors", "model.json"
FORMAT = 1
OWN_ARCHITECTURES = "auditkit.training.architectures."
PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
REFUSED = (
    "{path}: a pickled checkpoint can run any code when it is opened, so it was not; where you trust it, convert it "
    "once: build the network, network.load_state_dict(torch.load({name!r}, weights_only=True)), then "
    "auditkit.save_bundle(auditkit.load_model(network, ...), 'folder')"
)


class Strict(BaseModel):
    """A record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(Strict):
    """How to build the network: `package.module:Class` and its arguments."""

    path: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    arguments: dict[str, Any] = Field(default_factory=dict)


class Epoch(Strict):
    """One point of the training curves; both splits in eval mode (dropout off), so that they can be compared.

    Beside the loss stands the accuracy of classes (of several labels that of single answers), or R² of numbers.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None = None
    train_r2: float | None = None
    validation_loss: float
    validation_accuracy: float | None = None
    validation_r2: float | None = None
    learning_rate: float


class TrainingRecord(Strict):
    """How a model was trained. `energy` is the meter's record, or says why it is absent.

    mitigation: the method against unfairness and what came of it, where there was one. transfer: the model it began
    from, what was frozen and how far each layer moved. resumed: after how many epochs
    it was gone on from a checkpoint, each time it was. search: what was tried of the recipe, where it was searched.
    """

    recipe: dict[str, Any]
    seed: int
    epochs: int
    best_epoch: int
    seconds: float
    rows: dict[str, int]
    curves: tuple[Epoch, ...]
    energy: dict[str, Any]
    device: str
    versions: dict[str, str]
    mitigation: dict[str, Any] = Field(default_factory=dict)
    transfer: dict[str, Any] = Field(default_factory=dict)
    resumed: tuple[int, ...] = ()
    search: dict[str, Any] = Field(default_factory=dict)

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What to know of a model that was trained like this."""
        text = self.mitigation.get("caveat")
        return (Caveat("model", text, "training/mitigation", "note"),) if isinstance(text, str) else ()


class Derivation(Strict):
    """What a variant was made from and how: `of` is the digest of the original, `caveats` what to know of it."""

    how: str
    name: str
    of: str
    settings: dict[str, Any] = Field(default_factory=dict)
    caveats: tuple[str, ...] = ()


class BundleRecord(Strict):
    """What `model.json` says."""

    format: Literal[1] = 1
    architecture: Architecture
    preprocessing: Preprocessing
    task: Task = "classification"
    classes: tuple[str, ...] = Field(min_length=1)
    label: str | None = None
    labels: tuple[str, ...] = ()
    positive: str | None = None
    sensitive: tuple[str, ...] = ()
    penultimate: str | None = None
    keywords: tuple[str, ...] = ()
    takes: Literal["dict", "tuple"] | None = None
    output: int | str | None = None
    training: TrainingRecord | None = None
    derived: Derivation | None = None
    weights_sha256: str
    versions: dict[str, str] = Field(default_factory=dict)

    @field_validator("classes")
    @classmethod
    def _as_many_as_the_task_has(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if (len(given) == 1) != (info.data.get("task") == "regression"):
            raise ValueError("a classifier has at least 2, as labels do, a regression the one name of its output")
        return given


def save_bundle(model: Model, folder: str | Path) -> Path:
    """Write a model as a bundle and return its folder. An earlier bundle there is replaced.

    Raises InputError for a model whose architecture is not known, as that of a live module whose class cannot be
    imported or whose arguments were not given.
    """
    if not model.architecture:
        raise InputError(
            f"{model.origin}: a bundle must say how to build the network; set model.architecture to "
            "{'path': 'package.module:Class', 'arguments': {...}}"
        )
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.module.state_dict().items()}
    weights = save(state)
    schema, training = model.schema, {key: part for key, part in model.record.items() if key != "derived"}
    record = BundleRecord(
        architecture=parse(model.architecture, Architecture, "model.architecture"),
        preprocessing=model.preprocessing,
        task=model.task,
        classes=model.classes,
        label=schema.label if schema else None,
        labels=schema.labels if schema else (),
        positive=schema.positive if schema else None,
        sensitive=schema.sensitive if schema else (),
        penultimate=model.penultimate,
        keywords=model.keywords,
        takes=model.takes,
        output=model.output,
        training=parse(training, TrainingRecord, "model.record") if training else None,
        derived=model.record.get("derived"),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        versions=versions(),
    )
    try:
        written = record.model_dump_json(indent=2) + "\n"
    except ValueError as problem:
        raise InputError(f"model.architecture: arguments must be values that JSON can hold ({problem})") from None
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _whole(folder / WEIGHTS) as beside:
        beside.write_bytes(weights)
    with _whole(folder / RECORD) as beside:
        beside.write_text(written, encoding="utf-8")
    return folder


def load_bundle(
    folder: str | Path, device: str = "auto", architecture: str | None = None, near: Path | None = None
) -> Model:
    """The model of a bundle, in eval mode.

    architecture: the import path the caller allows, needed for a class that is not auditkit's own. near: a folder in
    which its module is looked for too. Raises InputError for whatever is wrong with the bundle, in one sentence.
    """
    folder = bundle_folder(folder)
    record = read_record(folder)
    state = _weights(folder / WEIGHTS, record.weights_sha256)
    module = _build(record.architecture, folder / RECORD, architecture, near)
    _fit(module, state, folder)
    schema = Schema(
        record.preprocessing.columns, record.classes, record.label, record.positive, record.sensitive, record.task,
        record.labels,
    )  # fmt: skip
    model = Model(
        module.eval(),
        record.classes,
        record.preprocessing,
        penultimate=record.penultimate,
        keywords=record.keywords,
        takes=record.takes,
        output=record.output,
        device=pick_device(device),
        architecture=record.architecture.model_dump(),
        record=(record.training.model_dump(mode="json") if record.training else {})
        | ({"derived": record.derived.model_dump(mode="json")} if record.derived else {}),
        schema=schema,
        task=record.task,
        origin=str(folder),
        lacks=dict(getattr(module, "limits", {})),
        caveats=(
            *(Caveat("model", text) for text in (record.derived.caveats if record.derived else ())),
            *(record.training.caveats if record.training else ()),
        ),
    )
    dry_run(model)
    return model


def bundle_folder(path: str | Path) -> Path:
    """The folder of a bundle given by its folder or one of its files. Raises InputError for anything else."""
    path = Path(path).expanduser()
    if path.suffix.lower() in PICKLED and not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: there is no such file")
        raise InputError(REFUSED.format(path=path, name=path.name))
    if path.name in (WEIGHTS, RECORD) and path.is_file():
        path = path.parent
    if not path.exists():
        raise InputError(f"{path}: there is no such bundle; make one with: auditkit train")
    if not path.is_dir():
        raise InputError(f"{path}: a model is a bundle folder with {WEIGHTS} and {RECORD}, this is a file")
    for name in (RECORD, WEIGHTS):
        if not (path / name).is_file():
            pickled = sorted(item for item in path.iterdir() if item.suffix.lower() in PICKLED)
            if pickled:
                raise InputError(REFUSED.format(path=pickled[0], name=pickled[0].name))
            raise InputError(f"{path}: not a bundle, it has no {name}")
    return path


def read_record(folder: str | Path) -> BundleRecord:
    """`model.json`, validated. Imports none of the bundle's code. Raises InputError for a folder that is no bundle."""
    path = bundle_folder(folder) / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: not valid JSON ({problem}); train or save the bundle again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path}: bundle format {content.get('format')!r} is not known, this auditkit reads format {FORMAT}"
        )
    try:
        return BundleRecord.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden" and len(where) == 1:
            raise InputError(
                f"{path}: unknown key {where[0]!r}; {nearest(where[0], BundleRecord.model_fields)}"
            ) from None
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise InputError(f"{path}: {'.'.join(where)}: {said}") from None


def dry_run(model: Model) -> None:
    """Send two made-up rows through a model. Raises InputError where network, preprocessing and classes do not fit."""
    inputs = model.preprocessing.example()
    try:
        with model.evaluating(), torch.inference_mode():
            model.logits(tuple(part.to(model.device) for part in inputs))
    except InputError:
        raise
    except Exception as problem:
        shapes = ", ".join(str(tuple(part.shape)) for part in inputs)
        raise InputError(
            f"{model.origin}: the network does not take what its preprocessing gives (inputs of shape {shapes}): "
            f"{str(problem).splitlines()[0] if str(problem) else type(problem).__name__}"
        ) from None


def import_architecture(path: str, near: Path | None = None) -> type[nn.Module]:
    """The network class an import path names. Runs the module's code: only for paths somebody trusted named.

    >>> import_architecture("auditkit.training.architectures.mlp:MLP").__name__
    'MLP'
    """
    module_name, _, name = path.partition(":")
    try:
        with importable(near):
            found: Any = importlib.import_module(module_name)
    except ImportError as problem:
        raise InputError(f"architecture {path!r}: cannot import {module_name!r} ({problem})") from None
    for part in name.split("."):
        known = [key for key, value in vars(found).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        if not hasattr(found, part):
            raise InputError(f"architecture {path!r}: {module_name!r} has no {name!r}; {nearest(part, known)}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InputError(f"architecture {path!r}: not a torch.nn.Module class")
    return found


def versions() -> dict[str, str]:
    """Which Python and libraries this is."""
    found = {"python": platform.python_version()}
    for name in ("auditkit", "torch", "lightning", "safetensors", "numpy", "pyarrow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _build(named: Architecture, where: Path, allowed: str | None, near: Path | None) -> nn.Module:
    if not named.path.startswith(OWN_ARCHITECTURES) and named.path != allowed:
        raise InputError(
            f"{where}: the network is built by {named.path!r}, code outside auditkit, which runs only where you name "
            f"it too: architecture: {named.path} in audit.yaml, or load_model(..., architecture={named.path!r})"
        )
    kind = import_architecture(named.path, near)
    try:
        with torch.random.fork_rng():
            return kind(**named.arguments)
    except Exception as problem:
        raise InputError(
            f"{where}: architecture {named.path!r} cannot be built from its arguments ({problem})"
        ) from None


def _weights(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError):
        raise InputError(
            f"{path}: not a whole safetensors file, it is truncated or damaged; copy it again or train again"
        ) from None
    if _sha256(path) != digest:
        raise InputError(
            f"{path}: these are not the weights that {RECORD} describes (their SHA-256 differs); "
            "copy the whole bundle again or train again"
        )
    return state


def _fit(module: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Load the weights, after checking that they are the network's, name by name and shape by shape."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state:
            problem = f"lacks {name!r}"
        elif name not in expected:
            problem = f"holds {name!r}, which the network does not have"
        elif state[name].shape != expected[name].shape:
            problem = f"holds {name!r} with shape {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        else:
            continue
        raise InputError(f"{folder / WEIGHTS}: does not fit the architecture in {RECORD}: {problem}")
    module.load_state_dict(state)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place to write beside `path`, renamed to it once written; gone where writing failed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def importable(near: Path | None) -> Iterator[None]:
    """With `near` as the first place to import from."""
    if near is None:
        yield
        return
    sys.path.insert(0, str(near))
    try:
        yield
    finally:
        sys.path.remove(str(near))
