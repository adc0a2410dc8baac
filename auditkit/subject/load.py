"""Loading models from what a user names: bundles, network files, addresses, live modules, classifiers and callables.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from auditkit.errors import InputError
from auditkit.subject.data import OUTPUT, Schema, Split, Task, check_task
from auditkit.subject.formats import is_network_file, open_network, open_trusted
from auditkit.subject.formats.mlflow import is_mlflow
from auditkit.subject.preprocessing import AnyPreprocessing, ImagePreprocessing, Numeric, TablePreprocessing

if TYPE_CHECKING:
    from torch import nn

    from auditkit.evidence.metrics import Caveat
    from auditkit.subject.blackbox.answers import Outputs
    from auditkit.subject.model import Model


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
    are needed. As "multilabel" it answers yes or no to each of several labels, whose names are its `classes`. Bundles
    and scikit-learn's estimators know it themselves.
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
        named = "labels" if task == "multilabel" else "classes"
        raise InputError(f"{what} needs the names of its {named}, in the order of its outputs: classes=[...]")
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
        also = " and name one label" if task == "multilabel" else ""
        raise InputError(f"{model.origin}: it is a model of {model.task}, not of {task}; leave task out{also}")
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
    known = ("classes", "preprocessing", "features", "penultimate", "device", "trust", "task")
    model = load_huggingface(folder, origin=origin, **{key: asked[key] for key in known})
    dry_run(model)
    return _agreeing(model, asked["task"])


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
