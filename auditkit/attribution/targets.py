"""Targets: which number of a model's answer is explained, as weights of the outputs.

A row's score is its outputs times its weights, so one class, the class that is predicted, the contrast of two classes
and the output of a regression are all the same to every method. The class is fixed before anything is perturbed.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auditkit.errors import InputError

Target: TypeAlias = Literal["predicted"] | int | tuple[int, int] | Tensor | npt.NDArray | list[int]
"""the predicted output of each row; one output; the first output less the second; an output for each row, integers
[n]; or weights of the outputs, floats [outputs] or [n, outputs]"""


def contrast_for(target: Target, outputs: Tensor) -> tuple[Tensor, str]:
    """The weights [n, outputs] of each row's outputs, in their number type, and the target in words.

    outputs: [n, outputs]. Raises InputError for an output that is not there.

    >>> weights, text = contrast_for((0, 2), torch.zeros(1, 3))
    >>> weights.tolist(), text
    ([[1.0, 0.0, -1.0]], 'output 0 less output 2')
    """
    n, width = outputs.shape
    weights = torch.zeros_like(outputs)
    if isinstance(target, str):
        if target != "predicted":
            raise InputError(f"target {target!r}: write 'predicted', the number of an output, or two of them")
        chosen = outputs.argmax(dim=1)
        weights[torch.arange(n, device=outputs.device), chosen] = 1
        return weights, "the one output" if width == 1 else "the output that is largest for the row"
    if isinstance(target, tuple):
        first, second = (_known(part, width) for part in target)
        weights[:, first] += 1
        weights[:, second] -= 1
        return weights, f"output {first} less output {second}"
    if isinstance(target, (int, np.integer)):
        place = _known(int(target), width)
        weights[:, place] = 1
        return weights, f"output {place}"
    given = torch.as_tensor(target, device=outputs.device)
    if given.is_floating_point():
        if given.shape not in ((width,), (n, width)):
            raise InputError(
                f"target: weights of shape {list(given.shape)} are neither [{width}] nor [{n}, {width}], the outputs'"
            )
        return given.to(outputs.dtype).expand(n, width).clone(), "a weighted sum of the outputs"
    if given.shape != (n,):
        raise InputError(f"target: {list(given.shape)} numbers of outputs for {n} rows; give one for each row")
    places = torch.tensor([_known(place, width) for place in given.tolist()], device=outputs.device)
    weights[torch.arange(n, device=outputs.device), places] = 1
    return weights, "the output named for the row"


def _known(place: int, width: int) -> int:
    if not -width <= place < width:
        raise InputError(f"target: there is no output {place}; the model gives {width}, counted from 0")
    return place % width
