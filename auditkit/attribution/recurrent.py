"""Gradients through recurrent cells of a model in eval mode.

cuDNN differentiates recurrent cells in training mode only, which would switch dropout on. Where a model has some,
torch's own kernels are used for as long as a gradient is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def differentiating(module: nn.Module) -> Iterator[None]:
    """Gradients on, also through recurrent cells of the module; both switches are as before afterwards.

    >>> with torch.no_grad(), differentiating(nn.LSTM(1, 1)):
    ...     print(torch.is_grad_enabled(), torch.backends.cudnn.enabled)
    True False
    """
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    enabled = torch.backends.cudnn.enabled and not recurrent
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=enabled):
        yield
