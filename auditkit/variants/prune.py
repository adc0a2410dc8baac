"""Pruning: the weights of the smallest magnitude become zero, and stay so.

Unstructured, all linear, convolutional and recurrent weight matrices are ranked together by magnitude and exactly the
wanted share is zeroed (global magnitude pruning: Han et al. 2015, arXiv:1506.02626). Structured, each layer but the
last loses the wanted share of its rows (neurons, filters), those of the smallest norm (Li et al. 2017,
arXiv:1608.08710), with their biases. Ties fall by place, so that the same weights give the same result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auditkit.errors import InputError

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LSTM, nn.GRU, nn.RNN)


def prune(network: nn.Module, share: float, *, structured: bool = False, keep: str | None = None) -> int:
    """Zero a share of the network's weights in place and return how many weights are zero by it.

    keep: the layer that structured pruning leaves whole, whose rows are classes. Raises InputError for a share outside
    [0, 1) and for a network without weights to prune.

    >>> layer = nn.Linear(2, 2)
    >>> layer.weight.data = torch.tensor([[1.0, -3.0], [0.5, 2.0]])
    >>> prune(nn.Sequential(layer), 0.5), layer.weight.tolist()
    (2, [[0.0, -3.0], [0.0, 2.0]])
    """
    if not 0 <= share < 1:
        raise InputError(f"the share of weights to prune must be at least 0 and below 1, got {share:g}; 0.5 is usual")
    layers = {name: module for name, module in network.named_modules() if isinstance(module, KINDS)}
    weights = [weight for module in layers.values() for weight in _weights(module)]
    if not weights:
        raise InputError("pruning needs linear, convolutional or recurrent layers, of which this network has none")
    with torch.no_grad():
        if structured:
            return sum(_rows(module, share) for name, module in layers.items() if name != keep)
        magnitudes = torch.cat([weight.detach().abs().flatten().float() for weight in weights])
        zeroed = torch.zeros(len(magnitudes), dtype=torch.bool, device=magnitudes.device)
        zeroed[magnitudes.argsort(stable=True)[: round(share * len(magnitudes))]] = True
        for weight, mask in zip(weights, zeroed.split([weight.numel() for weight in weights]), strict=True):
            weight.masked_fill_(mask.view(weight.shape), 0.0)
    return int(zeroed.sum())


def _weights(module: nn.Module) -> list[Tensor]:
    """The weight matrices of a layer, without biases; a tied one once."""
    return [parameter for name, parameter in module.named_parameters(recurse=False) if name.startswith("weight")]


def _rows(module: nn.Module, share: float) -> int:
    """Zero the rows of the smallest norm of a layer; recurrent layers, whose rows are gates, are left alone."""
    if isinstance(module, nn.RNNBase):
        return 0
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    norms = weight.detach().float().flatten(1).norm(dim=1)
    rows = norms.argsort(stable=True)[: round(share * len(norms))]
    weight[rows] = 0.0
    if isinstance(bias, Tensor):
        bias[rows] = 0.0
    return int(rows.numel() * weight[0].numel())
