"""Category codes on their way into a network that nobody can look into.

What explains a prediction by changing inputs needs to know where codes become numbers (`engine/space.py`), and a black
box looks its codes up out of sight. Here each column of codes becomes vectors with a single 1 first, as for other black
boxes, and the box is handed the code with the largest share. Codes go in and come out as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auditkit.subject.blackbox.model import Indicator
from auditkit.subject.formats.program import limits_of
from auditkit.subject.preprocessing import AnyPreprocessing, TablePreprocessing


class Coded(nn.Module):
    """A module whose last input is codes int64 [n, columns], which pass an `Indicator` each.

    sizes: how many codes each column has.
    """

    def __init__(self, program: nn.Module, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.program, self.limits = program, limits_of(program)
        self.codes = nn.ModuleList(Indicator(size) for size in sizes)
        self.eval()

    def forward(self, *inputs: Tensor) -> Any:
        """The module's own output."""
        codes = [seen(inputs[-1][:, place]).argmax(dim=1) for place, seen in enumerate(self.codes)]
        return self.program(*inputs[:-1], torch.stack(codes, dim=1))


def with_codes(module: nn.Module, preprocessing: AnyPreprocessing) -> nn.Module:
    """The module itself or, where it is a black box for a table with categories, the module behind `Coded`.

    A module with gradients stays as it is: it would lose them.
    """
    if "gradients" not in limits_of(module) or not isinstance(preprocessing, TablePreprocessing):
        return module
    sizes = tuple(preprocessing.arguments()["categories"])
    return Coded(module, sizes) if sizes else module
