"""MLflow models: `models:/name/version`, `runs:/run/path`, or a local folder with an MLmodel file.

    load_model("models:/credit/3", classes=["no", "yes"])

An address is looked up in the tracking server that MLflow is set to (MLFLOW_TRACKING_URI). Of the folder, MLmodel is
read as plain YAML and what it names is opened by auditkit's own loaders, in this order: ONNX, torch (an exported
program, TorchScript or weights), transformers, scikit-learn. MLflow's own loading, which runs code from the model, is
used only for a python_function without any of these, and, like every pickle, only where the caller trusts the model.
The signature names the columns; registered name, version and run are kept as where the model came from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.spec import read_yaml

NEEDS = 'MLflow addresses need the extra mlflow: pip install "auditkit[mlflow]"'
ADDRESSES = ("models:/", "runs:/")
ORDER = ("onnx", "pytorch", "transformers", "sklearn", "python_function")
ASKED = (
    "The model was opened by MLflow from {path} (run {run}) because whoever ran this audit said to trust it (--trust): "
    "it brings code of its own, which could change its answers and this evidence."
)


@dataclass(frozen=True)
class Found:
    """What an MLflow model comes down to: a file, folder, classifier or callable for `load_model`.

    features: the columns of its signature, where these are named. origin: address, version and run. code: the folder
    of code that belongs to it, where the caller trusts it.
    """

    source: Any
    features: tuple[str, ...] | None
    origin: str
    caveats: tuple[Caveat, ...] = ()
    code: Path | None = None


def is_mlflow(source: str | Path) -> bool:
    """Whether this is an MLflow address, or the folder of an MLflow model.

    >>> is_mlflow("models:/credit/3"), is_mlflow("models/credit")
    (True, False)
    """
    return str(source).startswith(ADDRESSES) or (Path(source).expanduser() / "MLmodel").is_file()


def find_mlflow(source: str | Path, trust: bool = False) -> Found:
    """What to load for an MLflow model.

    Raises InputError where the address leads nowhere, where no flavour can be read, and where it is a pickle and not
    trusted.
    """
    address = str(source)
    folder, version, run = Path(source).expanduser(), "", ""
    if address.startswith(ADDRESSES):
        folder, version, run = _fetched(address)
    about = read_yaml(folder / "MLmodel")
    flavours = about.get("flavors")
    if not isinstance(flavours, Mapping):
        raise InputError(f"{folder / 'MLmodel'}: names no flavors; save the model with MLflow again")
    run = str(about.get("run_id") or run)
    parts = [part for part in (f"version {version}" if version else "", f"run {run}" if run else "") if part]
    origin = f"MLflow {address}" + (f" ({', '.join(parts)})" if parts else "")
    features = _columns(about.get("signature"))
    kind = next((kind for kind in ORDER if isinstance(flavours.get(kind), Mapping)), None)
    if kind is None:
        raise InputError(f"{address}: its flavors are {', '.join(map(str, flavours))}; {', '.join(ORDER)} can be read")
    flavour = flavours[kind]
    code = _inside(folder, str(flavour["code"])) if trust and flavour.get("code") else None
    if kind == "python_function":
        if not trust:
            raise InputError(
                f"{address}: a python_function runs code of its own when it is opened, so it was not; log the model "
                "as ONNX or as an exported torch program, or say that you trust it: --trust"
            )
        told = Caveat("model", ASKED.format(path=address, run=run or "unknown"), "model")
        return Found(_asked(folder, address), features, origin, (told,))
    return Found(_named(kind, flavour, folder, address, trust), features, origin, code=code)


def _fetched(address: str) -> tuple[Path, str, str]:
    """The folder of a registered or logged model, copied here where it lies elsewhere; its version and its run."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        import mlflow
        from mlflow.artifacts import download_artifacts
    except ImportError:
        raise InputError(f"{address}: {NEEDS}") from None
    version = run = ""
    place = address
    try:
        if match := re.fullmatch(r"models:/([^/@]+)(?:@([^/]+)|/([^/]+))", address):
            name, alias, asked = match.groups()
            client = mlflow.MlflowClient()
            if alias is not None:
                found = client.get_model_version_by_alias(name, alias)
            elif asked == "latest":
                found = max(client.search_model_versions(f"name = '{name}'"), key=lambda one: int(one.version))
            else:
                found = client.get_model_version(name, asked)
            version, run = str(found.version), str(found.run_id or "")
            place = f"models:/{name}/{version}"
        return Path(download_artifacts(artifact_uri=place)), version, run
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0][:200]
        raise InputError(
            f"{address}: MLflow cannot find it in {mlflow.get_tracking_uri()} ({said}); check the name, and "
            "MLFLOW_TRACKING_URI"
        ) from None


def _named(kind: str, flavour: Mapping[str, Any], folder: Path, address: str, trust: bool) -> Any:
    """The file or folder that a flavour names."""
    if kind == "onnx":
        return _inside(folder, str(flavour.get("data", "model.onnx")))
    if kind == "transformers":
        return _inside(folder, str(flavour.get("model_binary", "model")))
    if kind == "sklearn":
        path = _inside(folder, str(flavour.get("pickled_model", "model.pkl")))
        return _skops(path, trust) if path.suffix == ".skops" else path
    data = _inside(folder, str(flavour.get("model_data", "data")))
    known = [data / name for name in ("model.pt2", "model.pth", "model.safetensors")]
    found = next((path for path in known if path.is_file()), None)
    if found is None:
        raise InputError(f"{address}: has no {' or '.join(path.name for path in known)} in {data}; log it again")
    return found


def _skops(path: Path, trust: bool) -> Any:
    """An estimator from a skops file: built of known types only, or of any where the caller trusts it."""
    try:
        from skops import io
    except ImportError:
        raise InputError(f"{path}: reading it needs skops: pip install skops") from None
    try:
        return io.load(path, trusted=io.get_untrusted_types(file=path) if trust else [])
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0][:200]
        raise InputError(
            f"{path}: skops does not build this estimator ({said}); where you trust it, say so: --trust"
        ) from None


def _asked(folder: Path, address: str) -> Any:
    """A python_function's `predict`. RUNS THE MODEL'S CODE."""
    try:
        from mlflow import pyfunc
    except ImportError:
        raise InputError(f"{address}: {NEEDS}") from None
    before = os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION")
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "true"
    try:
        function = pyfunc.load_model(str(folder))
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0][:200]
        raise InputError(f"{address}: MLflow cannot open it ({said}); install what it was logged with") from None
    finally:
        if before is None:
            del os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"]
        else:
            os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = before
    schema = function.metadata.get_input_schema()
    kinds = {} if schema is None or schema.is_tensor_spec() else {one.name: one.type.to_pandas() for one in schema}

    def predict(rows: Any) -> Any:
        return function.predict(rows.astype({name: kind for name, kind in kinds.items() if name in rows}))

    return predict


def _columns(signature: Any) -> tuple[str, ...] | None:
    """The named columns that a signature takes, or None."""
    given = signature.get("inputs") if isinstance(signature, Mapping) else None
    try:
        columns = json.loads(given) if isinstance(given, str) else []
    except ValueError:
        return None
    named = [c["name"] for c in columns if isinstance(c, dict) and "name" in c and c.get("type") != "tensor"]
    return tuple(map(str, named)) if named and len(named) == len(columns) else None


def _inside(folder: Path, name: str) -> Path:
    """A file within the model's folder. Raises InputError for one outside, or that is not there."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder / 'MLmodel'}: names {name!r}, which lies outside of the model's folder")
    if not path.exists():
        raise InputError(f"{path}: there is no such file, though MLmodel names it; copy the whole model again")
    return path
