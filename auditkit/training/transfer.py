"""Transfer learning: begin from another model's weights, replace its head, train all of it or a part.

    pretrained: {source: models/base, freeze: body}

The source is a bundle, or a Hugging Face folder with an encoder of text. Its preprocessing, architecture and arguments
are taken over where the recipe names none; weights are copied where name and shape agree, which leaves out the head
where the classes are others. `freeze: body` trains the head alone (a linear probe), a list freezes the layers whose
names begin so, `none` fine-tunes everything. Frozen layers keep their running statistics too.

What training did to each layer's representation is reported as the CKA (`auditkit.statistics.cka`) between the source's
and the trained network's outputs on validation rows: near 1 where a layer stayed what it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.statistics.cka import FEWEST, linear_cka
from auditkit.subject.preprocessing import AnyPreprocessing

if TYPE_CHECKING:
    from auditkit.subject.data import Schema, Split
    from auditkit.training.recipe import Pretrained

ENCODER = "auditkit.training.architectures.encoder:Encoder"
COMPARED_ROWS = 512
HEAD = "head"


@dataclass
class Source:
    """A model to begin from: how its network is built, how rows become its inputs, and its weights."""

    path: str
    arguments: dict[str, Any]
    preprocessing: AnyPreprocessing
    weights: dict[str, Tensor]
    digest: str
    origin: str
    copied: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    before: nn.Module | None = field(default=None, repr=False)

    def into(self, network: nn.Module, freeze: Literal["none", "body"] | list[str]) -> None:
        """Copy the weights that fit into a freshly built network, and freeze what is to stay as it is.

        Raises InputError where nothing fits, where nothing is left to train, and for layers that are not there.
        """
        own = network.state_dict()
        fitting = {n: w for n, w in self.weights.items() if n in own and own[n].shape == w.shape}
        if not fitting:
            raise InputError(
                f"{self.origin}: none of its weights fits the architecture {self.path!r}; name the same one"
            )
        network.load_state_dict(fitting, strict=False)
        self.copied, self.left_out = tuple(fitting), tuple(name for name in own if name not in fitting)
        names = [name for name, _ in network.named_parameters()]
        wanted = tuple(freeze) if isinstance(freeze, list) else ()
        for prefix in wanted:
            if not any(_within(name, prefix) for name in names):
                raise InputError(
                    f"pretrained.freeze: the network has no layer {prefix!r}; its weights are {_few(names)}"
                )
        for name, parameter in network.named_parameters():
            if (freeze == "body" and not _within(name, HEAD)) or any(_within(name, prefix) for prefix in wanted):
                parameter.requires_grad_(False)
        self.frozen = tuple(name for name, parameter in network.named_parameters() if not parameter.requires_grad)
        if len(self.frozen) == len(names):
            raise InputError("pretrained.freeze leaves nothing to train; freeze fewer layers")

    def remember(self, network: nn.Module) -> None:
        """Keep the network as it is before training, to compare with."""
        import copy

        self.before = copy.deepcopy(network).cpu().eval()

    def record(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        """What the training record says: where weights came from, what was frozen, and how much each layer changed.

        inputs: validation rows; at most 512 of them are compared.
        """
        assert self.before is not None
        rows = min(COMPARED_ROWS, len(inputs[0]))
        shown = tuple(part[:rows].cpu() for part in inputs)
        return {
            "source": self.origin,
            "source_digest": self.digest,
            "copied": len(self.copied),
            "new": list(self.left_out),
            "frozen": list(self.frozen),
            "compared_rows": rows,
            "cka": representation_change(self.before, network, shown) if rows >= FEWEST else {},
        }


def freeze_statistics(network: nn.Module) -> None:
    """Put layers whose own weights are all frozen into eval mode, so that they learn no running statistics either."""
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def representation_change(before: nn.Module, after: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float | None]:
    """Layer → CKA between its outputs before and after, in the order of the network; None where it does not vary.

    Leaf layers with weights of their own are compared, on the CPU; a layer whose outputs differ in shape is left out.
    """
    first, second = _outputs(before, inputs), _outputs(after, inputs)
    found: dict[str, float | None] = {}
    for name, values in first.items():
        if name in second and second[name].shape == values.shape:
            alike = linear_cka(values.numpy(), second[name].numpy())
            found[name] = None if alike != alike else min(1.0, max(0.0, alike))
    return found


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Layer → its output for every row, averaged over places: float32 [n, width]."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and len(output) == len(inputs[0]):
                seen[name] = _summed_up(output.detach().float())

        return hook

    place = next(network.parameters()).device
    leaves = [(n, m) for n, m in network.named_modules() if n and list(m.parameters(recurse=False))]
    hooks = [module.register_forward_hook(keep(name)) for name, module in leaves]
    training = network.training
    try:
        network.cpu().eval()
        with torch.no_grad():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        network.to(place).train(training)
    return seen


def _summed_up(output: Tensor) -> Tensor:
    """[n, ...] to [n, width]: pictures [n, C, H, W] over their places, sequences [n, T, D] over their steps."""
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3:
        return output.mean(dim=1)
    return output.flatten(1)


def open_source(wanted: Pretrained, split: Split, schema: Schema, near: Path | None) -> Source:
    """The model a recipe begins from. near: the folder that its path is relative to.

    Raises InputError for what is neither a bundle nor a Hugging Face folder with safetensors and a tokenizer.
    """
    path = Path(wanted.source).expanduser()
    path = near / path if near is not None and not path.is_absolute() else path
    if (path / "config.json").is_file() and not (path / "model.json").is_file():
        return _encoder(path, split, schema)
    from auditkit.subject.bundle import load_bundle, read_record

    model = load_bundle(path, "cpu", architecture=read_record(path).architecture.path, near=near)
    missing = [name for name in model.preprocessing.columns if name not in (*split.table.column_names, *split.arrays)]
    if missing:
        raise InputError(f"{path}: the model reads {_few(missing)}, which the training rows do not have")
    arguments = {k: v for k, v in model.architecture["arguments"].items() if k != "classes"}
    return Source(
        model.architecture["path"], arguments, model.preprocessing, dict(model.module.state_dict()), model.digest,
        str(wanted.source),
    )  # fmt: skip


def _encoder(folder: Path, split: Split, schema: Schema) -> Source:
    """A Hugging Face folder as the body of an `Encoder`."""
    import hashlib

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from auditkit.subject.preprocessing.tokenizer import fit_tokenizer

    if len(schema.features) != 1:
        raise InputError(f"{folder}: a text encoder reads one column; name it alone as columns.features")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(f"{folder}: has no model.safetensors; weights in a pickle are not read")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        state = load_file(weights)
    except (ValueError, OSError, SafetensorError):
        raise InputError(f"{folder}: config.json or model.safetensors is damaged; copy the folder again") from None
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = {k: v for k, v in config.items() if k not in ("architectures", "auto_map", "_name_or_path", "torch_dtype",
                                                         "dtype", "transformers_version")}  # fmt: skip
    return Source(
        ENCODER, {"config": kept}, fit_tokenizer(split, schema.features[0], folder),
        {f"body.{name}": tensor for name, tensor in _bare(state).items()}, digest, str(folder),
    )  # fmt: skip


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by their names within the encoder: a model saved with a head has its body's name before them."""
    prefixes = {name.split(".", 1)[0] for name in state}
    for prefix in ("bert", "distilbert", "roberta", "electra", "deberta", "model", "transformer", "mpnet"):
        if prefix in prefixes:
            return {name.split(".", 1)[1]: tensor for name, tensor in state.items() if name.startswith(f"{prefix}.")}
    return state


def _within(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
