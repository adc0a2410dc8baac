"""Model: any torch module behind logits, penultimate features and named layers.

A model is left as it was found: `evaluating()` switches to eval mode, freezes the parameters and restores mode,
gradient flags, random state and hooks whatever happens inside. Penultimate features are the input of the last linear
layer, unless another layer is named. A module with one output for two classes is read as the logit of the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat
from auditkit.subject.activation_bytes import activation_bytes
from auditkit.subject.data import Schema, Split, Task
from auditkit.subject.preprocessing import AnyPreprocessing
from auditkit.subject.probabilities import Gives, as_logits

NUMBERS = "the model predicts a number, so there are no scores of classes"


@dataclass(frozen=True)
class Batch:
    """Rows on their way into the model: positions in the split, class indices (-1 unknown) and input tensors.

    targets: the numbers to be predicted, float64 [n], NaN unknown; marks: of several labels which a row has, int8
    [n, labels], -1 unknown. None for other tasks.
    """

    rows: np.ndarray
    labels: np.ndarray
    inputs: tuple[Tensor, ...]
    targets: np.ndarray | None = None
    marks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Model:
    """A module with what is needed to use it: class names, preprocessing, device.

    record: the training record, where the model came with one (recipe, curves, energy). origin: where it came from.
    schema: what the columns meant where it was trained, where that is known. lacks: what the model cannot show
    (gradients, layers, scale of the logits, scores; model: there is none to ask) and why, each a sentence without its
    full stop. caveats: what to know of the model before any of its figures is trusted. keywords: names under which the
    module takes its inputs, where it does not take them by position; takes: whether it takes all of them as one dict or
    tuple. output: which of several outputs is the logits, by key or place; "logits" or the first where None. gives:
    what these outputs are, see `probabilities.py`. aliases: other words for the classes in label columns, such as the
    ids of a Hugging Face config. task: whether the outputs are scores of classes, or one number that is predicted;
    then `classes` holds the one name of that number. Of a multilabel model they are the labels, and every output is
    the logit of its label against its absence, yes from 0 on.
    """

    module: nn.Module
    classes: tuple[str, ...]
    preprocessing: AnyPreprocessing
    penultimate: str | None = None
    device: torch.device = field(default_factory=lambda: pick_device("auto"))
    architecture: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    schema: Schema | None = None
    origin: str = "in memory"
    batch_rows: int | None = None
    lacks: dict[str, str] = field(default_factory=dict)
    caveats: tuple[Caveat, ...] = ()
    keywords: tuple[str, ...] = ()
    takes: Literal["dict", "tuple"] | None = None
    output: str | int | None = None
    gives: Gives = "logits"
    aliases: dict[str, str] = field(default_factory=dict)
    task: Task = "classification"

    def __post_init__(self) -> None:
        self.module.to(self.device)
        self._hear_module()
        if self.task == "regression":
            if len(self.classes) != 1:
                told = ", ".join(self.classes[:10])
                raise InputError(f"{self.origin}: a regression predicts one number, but several are named: {told}")
            self.lacks = {"scores": NUMBERS, **self.lacks}
        elif len(self.classes) < 2:
            what = "several labels need at least two" if self.multilabel else "a classifier needs at least two class"
            raise InputError(f"{self.origin}: {what} names, got {len(self.classes)}")
        if self.penultimate is None:
            linear = [name for name, module in self.module.named_modules() if isinstance(module, nn.Linear)]
            self.penultimate = linear[-1] if linear else None
        elif self.penultimate not in dict(self.module.named_modules()):
            known = [name for name, _ in self.module.named_modules() if name]
            raise InputError(f"{self.origin}: no layer {self.penultimate!r}; {nearest(self.penultimate, known)}")

    def _hear_module(self) -> None:
        """What a module says of itself: `penultimate`, `lacks`, and as sentences `caveats` and, less grave, `notes`."""
        penultimate, lacks = (getattr(self.module, name, None) for name in ("penultimate", "lacks"))
        if self.penultimate is None and isinstance(penultimate, str):
            self.penultimate = penultimate
        if isinstance(lacks, dict):
            self.lacks = {**lacks, **self.lacks}
        levels: tuple[tuple[str, Literal["warning", "note"]], ...] = (("caveats", "warning"), ("notes", "note"))
        for name, level in levels:
            if isinstance(texts := getattr(self.module, name, None), tuple):
                told = (Caveat("model", str(text), "model", level) for text in texts)
                self.caveats = tuple(dict.fromkeys([*self.caveats, *told]))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names, types, shapes and bytes of all weights and buffers."""
        state = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            array = tensor.detach().cpu().contiguous()
            state.update(f"{name}{array.dtype}{tuple(array.shape)}".encode())
            state.update(array.reshape(-1).view(torch.uint8).numpy().tobytes() if array.numel() else b"")
        return state.hexdigest()

    def class_of(self, word: str | None) -> str | None:
        """The class that a word stands for: its own name, or one of the other words for it."""
        return self.aliases.get(word, word) if word is not None and word not in self.classes else word

    @property
    def multilabel(self) -> bool:
        """Whether every output is a yes or no of its own."""
        return self.task == "multilabel"

    @property
    def parameters(self) -> int | None:
        """How many trainable and frozen parameters the module has; None where that is not known."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def layers(self) -> list[str]:
        """Names of the leaf modules, in the order in which they are registered."""
        return [name for name, module in self.module.named_modules() if name and not any(module.children())]

    def layer(self, name: str) -> nn.Module:
        """A module by its dotted name. Raises InputError with the nearest name."""
        modules = dict(self.module.named_modules())
        if name not in modules:
            raise InputError(f"{self.origin}: the model has no layer {name!r}; {nearest(name, filter(None, modules))}")
        return modules[name]

    @property
    def head(self) -> nn.Linear | None:
        """The last linear layer, whose input the penultimate features are; None for a model without one."""
        layer = self.layer(self.penultimate) if self.penultimate else None
        return layer if isinstance(layer, nn.Linear) else None

    def evaluating(self) -> AbstractContextManager[nn.Module]:
        """Eval mode with frozen parameters; mode, gradient flags, hooks and random state are restored after."""
        return evaluating(self.module)

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """float32 [n, classes] for inputs on the model's device; keeps the graph where gradients are on.

        Of a regression the number that is predicted, [n, 1]. Raises InputError where the number of outputs is not the
        number of classes.
        """
        output = self.raw(inputs)
        if self.gives == "probabilities":
            output = as_logits(output, each=self.multilabel)
        if output.shape[1] == 1 and len(self.classes) == 2 and not self.multilabel:
            output = torch.cat([torch.zeros_like(output), output], dim=1)
        if self.task == "regression" and tuple(output.shape[1:]) != (1,):
            raise InputError(
                f"{self.origin}: the model gives outputs of shape {tuple(output.shape)}; of a regression one number is "
                "audited, [n] or [n, 1]: name it where there are several outputs (output), or audit them one by one"
            )
        if output.ndim != 2 or output.shape[1] != len(self.classes):
            raise InputError(
                f"{self.origin}: the model gives outputs of shape {tuple(output.shape)} for {len(self.classes)} "
                f"{'labels' if self.multilabel else 'classes'} ({', '.join(self.classes[:10])}); name one "
                f"{'label' if self.multilabel else 'class'} per output"
            )
        return output

    def raw(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """float32 [n, ...], the chosen output as the module gives it."""
        output = self._chosen(self._call(inputs), self.output).float()
        return output[:, None] if output.ndim == 1 else output

    def _call(self, inputs: tuple[Tensor, ...]) -> Any:
        if self.takes == "tuple":
            return self.module(inputs)
        if not self.keywords:
            return self.module(*inputs)
        named = dict(zip(self.keywords, inputs, strict=True))
        return self.module(named) if self.takes == "dict" else self.module(**named)

    def _chosen(self, output: Any, key: str | int | None) -> Tensor:
        """The logits among what the module gave."""
        if isinstance(output, Tensor):
            return output
        if is_dataclass(output) and not isinstance(output, Mapping):
            output = {part.name: getattr(output, part.name) for part in fields(output)}
        elif hasattr(output, "_asdict"):
            output = output._asdict()
        if not isinstance(output, (Mapping, list, tuple)) or not output:
            raise InputError(f"{self.origin}: the model gives {type(output).__name__}, and no tensor of logits")
        named = isinstance(output, Mapping)
        known: list[Any] = list(output) if named else list(range(len(output)))
        if key is None:
            key = "logits" if "logits" in known else known[0]
        elif named and isinstance(key, int) and key not in known and 0 <= key < len(known):
            key = known[key]
        if key not in known:
            raise InputError(f"{self.origin}: the model has no output {key!r}; {nearest(str(key), map(str, known))}")
        chosen: Any = output[key]  # type: ignore[index]
        return self._chosen(chosen, None)

    @property
    def one_class(self) -> bool:
        """Whether it was trained on one class alone, to tell what is not of it."""
        return bool(getattr(self.module, "one_class", False))

    @property
    def outlier(self) -> int | None:
        """The class that stands for "unlike the training rows" in a model of one class; None for other models."""
        found = getattr(self.module, "outlier", None) if self.one_class else None
        return None if found is None else int(found)

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of a split's rows (all where None) on the model's device."""
        return tuple(part.to(self.device) for part in self.preprocessing.encode(split, rows))

    def batches(self, split: Split, size: int, rows: np.ndarray | None = None) -> Iterator[Batch]:
        """The split's rows (or the chosen ones) in order, `size` at a time."""
        chosen = np.arange(len(split)) if rows is None else np.asarray(rows, dtype=np.int64)
        labels, targets, marks = split.labels, split.targets, split.marks
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            numbers = None if targets is None else targets[part]
            yield Batch(part, labels[part], self.encode(split, part), numbers, None if marks is None else marks[part])

    def safe_rows(self, split: Split) -> int:
        """How many rows one forward pass can take, found by a probe of one row's activations.

        On the CPU it depends on nothing but model and data, so that results repeat bit for bit.
        """
        if self.batch_rows is not None:
            return self.batch_rows
        with self.evaluating():
            inputs = self.encode(split, np.arange(1))
            volume = activation_bytes(self.module, lambda: self.logits(inputs))
        volume += sum(part.numel() * part.element_size() for part in inputs)
        budget = 256 * 2**20
        if self.device.type == "cuda":
            budget = int(0.5 * torch.cuda.mem_get_info(self.device)[0])
        rows = max(1, min(4096 if self.device.type == "cpu" else 65536, budget // max(volume, 1)))
        return 2 ** int(np.log2(rows))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Eval mode with frozen parameters; mode, gradient flags and random state are restored after."""
    modes = {part: part.training for part in module.modules()}
    flags = {parameter: parameter.requires_grad for parameter in module.parameters()}
    random = torch.random.get_rng_state()
    try:
        with suppress(NotImplementedError):  # an exported program is what it was when it was exported
            module.eval()
        for parameter in flags:
            parameter.requires_grad_(False)
        yield module
    finally:
        for part, mode in modes.items():
            part.training = mode
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        torch.random.set_rng_state(random)


def pick_device(wanted: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises InputError for a device this machine lacks."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise InputError(f"device {wanted!r} is not known; use auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {wanted!r} was asked for, but this machine has no CUDA; use auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= (known := torch.cuda.device_count()):
        raise InputError(
            f"device {wanted!r} was asked for, but this machine has {known} CUDA device(s), counted from 0"
        )
    return device
