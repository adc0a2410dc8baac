"""Making variants: a model derived from another, which says from which and how.

    int8       linear and LSTM layers multiply 8-bit integers (dynamic quantisation); fast on the CPU alone
    bf16       weights and computation in bfloat16, logits read as float32
    pruned     a share of the weights set to zero, those of the smallest magnitude
    distilled  a smaller network taught by the model's answers

A variant is a `Model` like any other: it goes through a whole audit, and into a bundle where its original could.
`variant.record["derived"]` names the digest of the original. The original is left as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from auditkit.engine.progress import Progress
from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat
from auditkit.subject.bundle import OWN_ARCHITECTURES, dry_run
from auditkit.subject.data import Split
from auditkit.subject.formats.program import limits_of
from auditkit.subject.model import Model
from auditkit.training.architectures.bfloat16 import to_bfloat16
from auditkit.training.architectures.int8 import Int8Linear, Int8LSTM, to_int8
from auditkit.variants.distil import distil
from auditkit.variants.prune import prune

HOW = ("int8", "bf16", "pruned", "distilled")
CPU = torch.device("cpu")


def derive(
    model: Model,
    how: str,
    *,
    splits: Mapping[str, Split] | None = None,
    share: float = 0.5,
    structured: bool = False,
    arguments: Mapping[str, Any] | None = None,
    temperature: float = 2.0,
    mixing: float = 0.5,
    recipe: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Model:
    """A variant of a model. how: int8, bf16, pruned or distilled.

    share, structured: for pruned, the share of weights set to zero, and whether whole rows of weights are. splits: for
    distilled, the train and validation rows to learn from. arguments: the student's architecture's, in place of a
    network of half the width. temperature, mixing, recipe: see `auditkit.variants.distil`.
    Raises InputError for a model that cannot be changed so, in one sentence.

    >>> derive(model, "pruned", share=0.8).record["derived"]["name"]  # doctest: +SKIP
    'pruned 80 %'
    """
    if how not in HOW:
        raise InputError(f"there is no variant {how!r}; {nearest(how, HOW)}")
    for part in ("gradients", "layers"):
        if part in model.lacks and not (part == "gradients" and how == "distilled"):
            raise InputError(f"{model.origin}: no {how} variant can be made of it: {model.lacks[part]}")
    match how:
        case "int8":
            return _int8(model)
        case "bf16":
            return _bf16(model)
        case "pruned":
            return _pruned(model, share, structured)
    made = distil(
        model, splits or {}, arguments=arguments, temperature=temperature, mixing=mixing, recipe=recipe,
        progress=progress,
    )  # fmt: skip
    kept = made.record["recipe"]["arguments"]
    return _derived(
        made, model, "distilled", "distilled",
        {"temperature": temperature, "mixing": mixing, "arguments": kept},
    )  # fmt: skip


def _int8(model: Model) -> Model:
    variant = _copied(model, CPU)
    layers = to_int8(variant.module)
    if not layers:
        raise InputError(
            f"{model.origin}: an int8 variant changes linear and LSTM layers, of which this network has none to change"
        )
    modules = list(variant.module.modules())
    covered = sum(module.weight_int8.numel() for module in modules if isinstance(module, Int8Linear))
    share = covered / sum(p.numel() for p in variant.module.parameters())
    variant.lacks = {**model.lacks, **limits_of(variant.module)}
    variant.architecture = _rebuilt(model, "auditkit.training.architectures.int8:Int8")
    text = f"int8 weights are {share:.0%} of all; convolutions, embeddings and normalisation stay float32"
    caveats = [text, "int8 products are fast on the CPU alone; it runs there"]
    if any(isinstance(module, Int8LSTM) for module in modules):
        caveats.append("its LSTM layers run step by step, slower than torch's own: read the latency with that in mind")
    return _derived(variant, model, "int8", "int8", {"layers": layers, "share": share}, caveats)


def _bf16(model: Model) -> Model:
    variant = _copied(model, model.device)
    to_bfloat16(variant.module)
    variant.architecture = _rebuilt(model, "auditkit.training.architectures.bfloat16:Bfloat16")
    try:
        dry_run(variant)
    except InputError as problem:
        raise InputError(f"{model.origin}: this network cannot run in bfloat16 ({problem})") from None
    return _derived(variant, model, "bf16", "bf16", {}, [])


def _pruned(model: Model, share: float, structured: bool) -> Model:
    variant = _copied(model, model.device)
    zeros = prune(variant.module, share, structured=structured, keep=model.penultimate)
    name = f"pruned {share:.4g}" if share < 0.001 else f"pruned {100 * share:.4g} %"
    caveats = ["zeros make a network neither smaller nor faster by themselves: only compressed files shrink"]
    caveats.append("it was not trained again after pruning, which usually wins back some of what is lost")
    settings = {"share": share, "structured": structured, "zeros": zeros}
    return _derived(variant, model, "pruned", f"{name} structured" if structured else name, settings, caveats)


def _copied(model: Model, device: torch.device) -> Model:
    """The model with a network of its own. Cached figures, such as the digest, are not copied."""
    module = copy.deepcopy(model.module).to(device)
    return replace(model, module=module, device=device, record=copy.deepcopy(model.record), lacks=dict(model.lacks))


def _rebuilt(model: Model, path: str) -> dict[str, Any]:
    """How a bundle builds the variant; nothing where the original's network is not auditkit's own."""
    known = model.architecture
    if not known or not str(known["path"]).startswith(OWN_ARCHITECTURES):
        return {}
    return {"path": path, "arguments": {"of": known["path"], "arguments": dict(known.get("arguments") or {})}}


def _derived(
    variant: Model, original: Model, how: str, name: str, settings: dict[str, Any], caveats: list[str] | None = None
) -> Model:
    """The variant with what it says of itself."""
    texts = [f"{name} variant: {text}" for text in caveats or []]
    variant.record = {key: part for key, part in variant.record.items() if key != "derived"} | {
        "derived": {"how": how, "name": name, "of": original.digest, "settings": settings, "caveats": texts}
    }
    variant.origin = f"{name} variant of {original.origin} ({original.digest[:12]})"
    variant.schema = variant.schema or original.schema
    variant.caveats = (*original.caveats, *(Caveat("model", text, level="note") for text in texts))
    return variant


def name_of(model: Model) -> str:
    """What a model is called among variants: the name it was derived under, or "original"."""
    return str(model.record.get("derived", {}).get("name", "original"))
