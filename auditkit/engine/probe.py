"""Probe: one forward pass of a batch, seen through hooks that are gone afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auditkit.engine.analysis import Needs, Observation
from auditkit.subject.model import Batch, Model


def observe(model: Model, batch: Batch, needs: Needs) -> Observation:
    """Forward a batch once and keep what the analyses asked for.

    Call it inside `model.evaluating()`. Features are the input of the penultimate layer, flattened to [n, width].
    A layer that is called more than once in a pass is seen at its last call.
    """
    seen: dict[str, Tensor] = {}
    features: list[Tensor] = []
    hooks = []

    def keep_output(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, (tuple, list)) else output
            if isinstance(tensor, Tensor):
                seen[name] = tensor.detach()

        return hook

    def keep_input(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features[:] = [inputs[0].detach().float().flatten(1)]

    try:
        names = model.layers() if needs.layers == "all" else needs.layers
        hooks = [model.layer(name).register_forward_hook(keep_output(name)) for name in names]
        if needs.features and model.penultimate is not None:
            hooks.append(model.layer(model.penultimate).register_forward_pre_hook(keep_input))
        with torch.no_grad():
            logits = model.logits(batch.inputs).detach()
    finally:
        for hook in hooks:
            hook.remove()
    return Observation(
        rows=batch.rows,
        labels=batch.labels,
        logits=logits,
        features=features[0] if features else None,
        inputs=batch.inputs if needs.inputs else (),
        activations=seen,
        targets=batch.targets,
        marks=batch.marks,
    )
