"""Any module or callable on tensors, asked as an audit's model is asked: without rows, columns or class names.

    model = PlainModel.of(network, (x,))
    with model.evaluating():
        space = InputSpace.trace(model, (x,))

The number type of inputs and weights is kept, so that a network in float64 is explained in float64. A callable that is
no module has no layers and, unless told otherwise, is asked for answers only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.engine.pace import AS_GIVEN, Pace
from auditkit.errors import InputError, nearest
from auditkit.subject.model import evaluating


class _Called(nn.Module):
    """A callable as a module."""

    def __init__(self, answer: Callable[..., Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.answer(*inputs)


@dataclass
class PlainModel:
    """A module behind logits [n, outputs]. lacks: what it cannot show (gradients, layers), and why.

    pace: how the module is run.
    """

    module: nn.Module
    device: torch.device
    lacks: dict[str, str] = field(default_factory=dict)
    preprocessing: Any = field(default_factory=lambda: SimpleNamespace(held=(), modality="tensor"))
    pace: Pace = AS_GIVEN

    @classmethod
    def of(cls, model: nn.Module | Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> PlainModel:
        """The model on the device of the inputs. Raises InputError where it lies on another."""
        if not isinstance(model, nn.Module):
            return cls(_Called(model), inputs[0].device, {"layers": "a callable has no layers"})
        places = {parameter.device for parameter in model.parameters()} | {part.device for part in inputs}
        if len(places) > 1:
            told = ", ".join(sorted(map(str, places)))
            raise InputError(f"model and inputs lie on different devices ({told}); move them to one")
        return cls(model, inputs[0].device)

    def evaluating(self) -> AbstractContextManager[nn.Module]:
        """Eval mode with frozen parameters; all is restored after."""
        return evaluating(self.module)

    def layer(self, name: str) -> nn.Module:
        """A module by its dotted name. Raises InputError with the nearest name."""
        modules = dict(self.module.named_modules())
        if name not in modules:
            raise InputError(f"the model has no layer {name!r}; {nearest(name, filter(None, modules))}")
        return modules[name]

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """[n, outputs]. Raises InputError for anything but one number or one vector a row."""
        found: Any = self.pace.run(self.module, inputs)
        if not isinstance(found, Tensor):
            raise InputError(
                f"the model gives {type(found).__name__}, and no tensor; wrap it in a function that returns the outputs"
            )
        output = found[:, None] if found.ndim == 1 else found
        if output.ndim != 2 or len(output) != len(inputs[0]):
            raise InputError(
                f"the model gives outputs of shape {tuple(found.shape)} for {len(inputs[0])} rows; one number or one "
                "vector a row can be explained: wrap the model in a function that chooses"
            )
        return output if self.pace.half is None else output.float()


def finite(part: Tensor) -> bool:
    """Whether no number of a tensor is missing or infinite, without a copy of it.

    >>> finite(torch.tensor([1.0, 2.0])), finite(torch.tensor([1.0, torch.nan])), finite(torch.tensor([-torch.inf]))
    (True, False, False)
    """
    if not part.is_floating_point() or not part.numel():
        return True
    return all(bool(torch.isfinite(end)) for end in part.aminmax())
