"""Layers beside captum: seconds, and what of the score is missed, at equally many steps.

Both sides run in one process, in turns, and medians are compared; captum with its internal batches unbounded, which is
its fastest. Completeness is |Σφ - Δf| / |Δf|, the median and the largest over rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.attribution import explain_layer
from auditkit.attribution.layers import METHODS, LayerMethod

TITLE = "Layers explained: conductance and its relatives"
RUNS, STEPS = 7, 64


def mlp() -> tuple[nn.Sequential, Tensor, str]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    return net.eval(), torch.randn(64, 64), "1"


def cnn() -> tuple[nn.Sequential, Tensor, str]:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(256, 10)).eval(), torch.randn(16, 3, 16, 16), "2"


def captums(method: str, net: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    from captum.attr import InternalInfluence, LayerConductance, LayerIntegratedGradients

    kind = {
        "conductance": LayerConductance,
        "integrated_gradients": LayerIntegratedGradients,
        "internal_influence": InternalInfluence,
    }[method]
    return kind(net, layer).attribute(x, target=0, n_steps=STEPS).detach()


def missed(net: nn.Module, x: Tensor, values: Tensor) -> str:
    with torch.no_grad():
        change = (net(x) - net(torch.zeros_like(x)))[:, 0]
    gap = (values.flatten(1).sum(dim=1) - change).abs() / change.abs()
    return f"misses {gap.median():.1e}, at most {gap.max():.1e}"


def compared(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Median seconds of both, taking turns, after one turn that does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(RUNS + 1):
        for side, work in zip(taken, (ours, theirs), strict=True):
            start = time.perf_counter()
            work()
            if turn:
                side.append(time.perf_counter() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])


def rows() -> list[dict[str, str]]:
    found = []
    for name, (net, x, layer) in (("MLP 64-64-64, 64 rows", mlp()), ("CNN 3x16x16, 16 rows", cnn())):
        part = net.get_submodule(layer)
        for method in METHODS:

            def ours(net: nn.Module = net, x: Tensor = x, layer: str = layer, method: LayerMethod = method) -> Any:
                return explain_layer(net, x, layer, method=method, target=0, steps=STEPS).values

            def theirs(net: nn.Module = net, x: Tensor = x, part: nn.Module = part, method: str = method) -> Tensor:
                return captums(method, net, part, x)

            mine, other = compared(ours, theirs)
            complete = method in ("conductance", "integrated_gradients")
            found.append(
                {
                    "network": name,
                    "method": method,
                    "auditkit": f"{1000 * mine:,.1f} ms",
                    "captum": f"{1000 * other:,.1f} ms",
                    "ratio": f"{other / mine:,.2f}",
                    "auditkit misses": missed(net, x, ours()) if complete else "",
                    "captum misses": missed(net, x, theirs()) if complete else "",
                }
            )
    return found
