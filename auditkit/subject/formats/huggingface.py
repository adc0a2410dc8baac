"""Hugging Face models: a folder as `save_pretrained` writes it, or a name on the hub.

    load_model("sentiment/")                       # a folder with config.json, model.safetensors, tokenizer.json
    load_model("hf:distilbert/distilbert-base-uncased-finetuned-sst-2-english", features=["sentence"])

Sequence classification (text through its tokenizer) and image classification (pictures through its image processor)
are read; classes are the config's. One output is a number, as transformers trains it, unless two classes are named.
Files at hand are taken first, a name with `hf:` before it may be downloaded unless HF_HUB_OFFLINE is set, and one
without is looked for among the downloaded ones only, so that a mistyped path never reaches the network. Only
safetensors weights are read (pytorch_model.bin where the caller trusts it), and code that comes with a model is never
run. Attention is computed step by step ("eager"), so that its parts can be looked at.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.subject.data import Schema, Split
from auditkit.subject.formats.huggingface_outputs import names_of, predicted_by, read_as
from auditkit.subject.model import Model, pick_device
from auditkit.subject.preprocessing import AnyPreprocessing, ImagePreprocessing, TokenizerPreprocessing
from auditkit.subject.preprocessing.image import Resize
from auditkit.subject.preprocessing.tokenizer import filling

PREFIX = "hf:"
NEEDS = 'reading a Hugging Face model needs the extra huggingface: pip install "auditkit[huggingface]"'
KINDS: dict[str, Literal["text", "image"]] = {"ForSequenceClassification": "text", "ForImageClassification": "image"}
SAFE, PICKLED = ("model*.safetensors", "model.safetensors.index.json"), ("pytorch_model*.bin*",)
DESCRIBED = ("*.json", "*.txt", "*.model")
LONGEST = 512
SHORTEST = 32
"""an audit of short texts still reads sentences of this many pieces"""
HOWS: dict[int, Literal["nearest", "bilinear", "bicubic"]] = {0: "nearest", 2: "bilinear", 3: "bicubic"}


def is_folder(path: str | Path) -> bool:
    """Whether a folder holds a Hugging Face model, judged by its config.json."""
    path = Path(path).expanduser() / "config.json"
    try:
        return path.is_file() and "model_type" in json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, TypeError):
        return False


def hub_folder(name: str, trust: bool = False) -> Path | None:
    """The folder of a model that is named as on the hub; None for what can be no such name, or is not at hand.

    Raises InputError where `hf:` asked for one that cannot be had.
    """
    asked = name.startswith(PREFIX)
    name = name.removeprefix(PREFIX)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name, re.ASCII) or (not asked and "/" not in name):
        if asked:
            raise InputError(f"{PREFIX}{name}: not a name on the hub; write {PREFIX}organisation/model")
        return None
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        if not asked:
            return None
        raise InputError(f"{PREFIX}{name}: {NEEDS}") from None
    wanted = [*DESCRIBED, *SAFE, *(PICKLED if trust else ())]
    found: Path | None = None
    with suppress(Exception):
        found = Path(snapshot_download(name, local_files_only=True, allow_patterns=wanted))
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if not asked or (found and (offline or any(found.glob("model*.safetensors")))):
        return found
    if offline:
        raise InputError(
            f"{PREFIX}{name}: not among the downloaded models, and HF_HUB_OFFLINE forbids to download it; give the "
            "folder of a copy"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as problem:
        if found:
            return found
        raise InputError(
            f"{PREFIX}{name}: not among the downloaded models, and it could not be downloaded "
            f"({type(problem).__name__}); check the name and the connection, or give the folder of a copy"
        ) from None


def load_huggingface(
    folder: str | Path,
    *,
    origin: str | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: AnyPreprocessing | None = None,
    features: Sequence[str] | None = None,
    penultimate: str | None = None,
    device: str = "auto",
    trust: bool = False,
    task: str | None = None,
) -> Model:
    """The model in a folder, with its tokenizer or image processor, in eval mode.

    classes: names to take the place of config.id2label. preprocessing: to take the place of the model's own.
    features: the one column of texts ("text" when left out), or the array of images ("images"). trust: weights may be
    a pytorch_model.bin. task: "multilabel" where its outputs are labels of their own and the config does not say so,
    "regression" likewise where its one output is a number; without a word of either that is what one output is.
    Raises InputError for a model of another task, one that needs its own code, a folder without safetensors, and
    weights that are missing (which transformers would make up).
    """
    folder = Path(folder).expanduser()
    try:
        import transformers
    except ImportError:
        raise InputError(f"{folder}: {NEEDS}") from None
    with _quiet(transformers), _told(folder, "its config.json cannot be read by transformers"):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    kind = _task(config, folder)
    safe = _has_weights(folder, trust)
    auto = getattr(transformers, f"AutoModelFor{'Sequence' if kind == 'text' else 'Image'}Classification")
    with _quiet(transformers), _told(folder, "transformers cannot build the network or read its weights"):
        module, info = auto.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=safe,
            attn_implementation="eager",
            output_loading_info=True,
        )
    if missing := sorted(info.get("missing_keys", ())):
        raise InputError(
            f"{folder}: its weights lack {', '.join(map(repr, missing[:3]))}, which would be made up at random; give a "
            "model that was trained for classification"
        )
    predicted = predicted_by(config, classes, task, folder)
    names = names_of(predicted, config, classes, folder)
    given = preprocessing
    if given is None:
        column = _one(features, "text" if kind == "text" else "images", folder)
        with _quiet(transformers):
            make = _tokenizer if kind == "text" else _images
            given = make(transformers, folder, config, column)
    _positions_from_mask(module)
    keywords = ("input_ids", "attention_mask") if kind == "text" else ("pixel_values",)
    return Model(
        module.float().eval(),
        names,
        given,
        penultimate,
        device=pick_device(device),
        schema=Schema(given.columns, names, task=predicted),
        task=predicted,
        origin=origin or str(folder),
        keywords=keywords,
        output="logits",
        caveats=(*read_as(config, predicted, task), *(() if safe else map(_admitted, _pickled(folder)))),
        aliases={} if predicted == "regression" else {str(place): name for place, name in enumerate(names)},
    )


def fitted_to(model: Model, splits: Sequence[Split]) -> Model:
    """The model reading no more pieces than the longest text has: filling up costs time and changes nothing."""
    given = model.preprocessing
    if not isinstance(given, TokenizerPreprocessing) or "transformers" not in type(model.module).__module__:
        return model
    longest = max(given.longest(split) for split in splits)
    length = min(given.length, max(longest, SHORTEST))
    return replace(model, preprocessing=given.reading(length))


def _task(config: Any, folder: Path) -> Literal["text", "image"]:
    """What the model tells apart: texts or images."""
    named = [str(name) for name in getattr(config, "architectures", None) or ()]
    found = [kind for name in named for end, kind in KINDS.items() if name.endswith(end)]
    if not found:
        raise InputError(
            f"{folder}: is {named[0] if named else 'of no named architecture'}; models for sequence classification and "
            "for image classification can be audited, give one of these"
        )
    if (folder / "adapter_config.json").exists():
        raise InputError(f"{folder}: holds an adapter beside its model; merge it (merge_and_unload) and save the whole")
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(f"{folder}: its weights are quantised; give the model before quantisation")
    return found[0]


def _has_weights(folder: Path, trust: bool) -> bool:
    """Whether there are safetensors. Raises InputError where there are pickled weights only, or none."""
    if any(folder.glob("model*.safetensors")):
        return True
    pickled = _pickled(folder)
    if not pickled:
        raise InputError(f"{folder}: has no model.safetensors; save the model with save_pretrained")
    if not trust:
        raise InputError(
            f"{pickled[0]}: a pickled checkpoint can run any code when it is opened, so it was not; save the model as "
            "safetensors (model.save_pretrained(folder)), or say that you trust it: --trust"
        )
    for path in pickled:
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: not a checkpoint that torch can read, or a truncated one; copy it again")
    return False


def _pickled(folder: Path) -> list[Path]:
    return sorted(folder.glob("pytorch_model*.bin"))


def _admitted(path: Path) -> Caveat:
    """What to tell of weights that were unpickled. transformers admits tensors alone, so none of their code was run."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Caveat(
        "model",
        f"The weights were unpickled from {path.name} (SHA-256 {digest}) because whoever ran this audit said to trust "
        "it (--trust); nothing but tensors was admitted.",
        "model",
        "note",
    )


def _one(features: Sequence[str] | None, usual: str, folder: Path) -> str:
    if features is not None and len(features) != 1:
        raise InputError(f"{folder}: takes one column, but {len(features)} features are named: {', '.join(features)}")
    return str(features[0]) if features else usual


def _tokenizer(transformers: Any, folder: Path, config: Any, column: str) -> TokenizerPreprocessing:
    """The model's tokenizer, as it is, reading as many pieces as the network has places for."""
    with _told(folder, "its tokenizer cannot be read by transformers"):
        found = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    made = getattr(found, "backend_tokenizer", None)
    if made is None:
        raise InputError(f"{folder}: its tokenizer is written in Python; one that has a tokenizer.json is needed")
    pad = found.pad_token_id if found.pad_token_id is not None else getattr(config, "pad_token_id", None)
    places = getattr(config, "max_position_embeddings", None) or LONGEST
    if getattr(config, "model_type", "") in OFFSET:
        places -= int(config.pad_token_id) + 1
    return TokenizerPreprocessing(
        column=column,
        tokenizer=made.to_str(),
        length=int(min(LONGEST, places, found.model_max_length)),
        pad=filling(made) if pad is None else int(pad),
    )


OFFSET = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer", "esm")
"""models whose places are counted from behind the filling piece's number"""


def _images(transformers: Any, folder: Path, config: Any, array: str) -> ImagePreprocessing:
    """The model's image processor as resizing, cutting and scaling; held against it on a made-up picture."""
    with _told(folder, "its image processor cannot be read by transformers"):
        found = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    side = getattr(config, "image_size", 224)
    shape = tuple(int(one) for one in (side if isinstance(side, (list, tuple)) else (side, side)))
    resize = None
    if getattr(found, "do_resize", False):
        size, how = dict(found.size), HOWS.get(int(getattr(found, "resample", 2)))
        if how is None or not ({"height", "width"} <= set(size) or "shortest_edge" in size):
            raise InputError(f"{folder}: its image processor resizes in a way not known here; give images of its size")
        given = (int(size["height"]), int(size["width"])) if "height" in size else int(size["shortest_edge"])
        resize = Resize(size=given, how=how)
        shape = given if isinstance(given, tuple) else shape
    if getattr(found, "do_center_crop", False):
        cut = dict(found.crop_size)
        shape = (int(cut["height"]), int(cut["width"]))
        resize = resize or Resize(size=None)
    divisor = 1 / float(found.rescale_factor) if getattr(found, "do_rescale", False) else 1.0
    channels = int(getattr(config, "num_channels", 3))
    scaled = bool(getattr(found, "do_normalize", False))
    made = ImagePreprocessing(
        array=array,
        divisor=round(divisor, 9),
        mean=_channels(found.image_mean) if scaled else 0.0,
        scale=_channels(found.image_std) if scaled else 1.0,
        shape=(channels, *shape),
        resize=resize,
    )
    _compare(made, found, folder)
    return made


def _channels(given: Any) -> float | tuple[float, ...]:
    return tuple(map(float, given)) if isinstance(given, (list, tuple)) else float(given)


def _compare(made: ImagePreprocessing, found: Any, folder: Path) -> None:
    """Refuse an image processor that does something else to a picture than what was understood of it."""
    channels, height, width = made.shape
    side = (height, width) if made.resize is None else (height + 17, width + 40)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, channels, 4, 4))), side, mode="bilinear"
    )
    picture = smooth.numpy().round().astype(np.uint8)
    split = Split("picture", "ood", pa.table({"row": [0]}), Schema((made.array,), ()), {made.array: picture})
    with _told(folder, "its image processor fails on a picture"):
        theirs = np.asarray(found(images=[picture[0].transpose(1, 2, 0)], return_tensors="np")["pixel_values"])
    ours = made.encode(split)[0].numpy()
    levels = np.asarray(made.scale).min() * made.divisor
    if theirs.shape != ours.shape or np.abs(theirs - ours).max() > 2 / levels + 1e-5:
        raise InputError(
            f"{folder}: its image processor ({type(found).__name__}) does more than resizing, keeping the middle and "
            "scaling; say how images become its inputs as preprocessing"
        )


def _positions_from_mask(module: nn.Module) -> None:
    """Let a network that counts its places from the ids count them from the mask, where both say the same.

    Attributions follow ids through embeddings only, and would be refused where places depend on them too.
    """
    counting = [part for part in module.modules() if hasattr(type(part), "create_position_ids_from_input_ids")]
    if len(counting) != 1 or "position_ids" not in inspect.signature(module.forward).parameters:
        return
    start = int(getattr(counting[0], "padding_idx", 0))

    def count(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any] | None:
        mask = named.get("attention_mask")
        if given or not isinstance(mask, Tensor) or "position_ids" in named:
            return None
        seen = mask.long()
        return given, {**named, "position_ids": seen.cumsum(dim=1) * seen + start}

    module.register_forward_pre_hook(count, with_kwargs=True)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without transformers' remarks and progress bars."""
    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()


@contextmanager
def _told(folder: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong inside is told as one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as problem:
        said = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
        own = " (it brings code of its own, which is never run)" if "trust_remote_code" in str(problem) else ""
        raise InputError(f"{folder}: {what}{own or f': {said[:200]}'}; save it again with save_pretrained") from None
