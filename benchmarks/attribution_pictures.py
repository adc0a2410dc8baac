"""Integrated Gradients of ResNet-50: pictures explained a second, beside the bare network's rate and beside captum.

On an accelerator 64 pictures of 224 x 224; on a processor two of 96 x 96, which shows the same ratios on a smaller
scale. Weights are random: the work is that of a trained network. All sides take about 50 steps a picture, whatever the
completeness gap.

The bare network's rate is the best, over batch sizes and ways to run it (order of memory, and on an accelerator number
types), of rows forward and backward in a loop over made rows. The rows of an explanation over its seconds, as a share
of that rate, say what the engine costs on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.engine.pace import AS_GIVEN, Pace, candidates

TITLE = "Integrated Gradients of ResNet-50"
STEPS = 50
RUNS = 3 if torch.cuda.is_available() else 1


class Logits(nn.Module):
    """ResNet-50 as transformers builds it, answering with logits alone."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import ResNetConfig, ResNetForImageClassification

        torch.manual_seed(0)
        self.network = ResNetForImageClassification(ResNetConfig.from_dict({"num_labels": 1000}))

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.network(pixels).logits
        return found


def seconds(work: Callable[[], Any]) -> float:
    """The median of a few turns, after one that does not count."""
    taken = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return sorted(taken[1:])[RUNS // 2]


def bare_rate(net: nn.Module, x: Tensor, sizes: tuple[int, ...]) -> tuple[float, str]:
    """Rows forward and backward a second at the best batch size and way to run, and which these are."""
    rows = x.repeat(-(-max(sizes) // len(x)), 1, 1, 1)
    best = (0.0, "")
    for pace in (AS_GIVEN, *candidates(net, (x,))):
        with pace.of(net):
            for size in sizes:
                rate = size / seconds(lambda size=size, pace=pace: _once(net, rows[:size], pace))  # type: ignore[misc]
                best = max(best, (rate, f"{size} at once, {pace.name}"))
    return best


def _once(net: nn.Module, rows: Tensor, pace: Pace) -> None:
    leaf = rows.detach().requires_grad_(True)
    found = pace.run(net, (leaf,))
    assert isinstance(found, Tensor)
    torch.autograd.grad(found[:, 0].float().sum(), leaf)


def captum_rate(net: nn.Module, x: Tensor, size: int | None) -> float:
    """Pictures a second, in batches of so many rows; all at once, as is its default, where None."""
    from captum.attr import IntegratedGradients

    theirs = IntegratedGradients(net)
    try:
        return len(x) / seconds(lambda: theirs.attribute(x, target=0, n_steps=STEPS, internal_batch_size=size))
    except torch.OutOfMemoryError:
        return 0.0


def rows() -> list[dict[str, str]]:
    """All rates."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    net = Logits().to(device).eval().requires_grad_(False)
    x = torch.randn((64, 3, 224, 224) if cuda else (2, 3, 96, 96), generator=torch.Generator().manual_seed(0)).to(
        device
    )
    sizes = (32, 64, 128, 256, 512) if cuda else (4, 16)
    bare, how = bare_rate(net, x, sizes)
    found: list[Any] = []
    taken = seconds(
        lambda: found.append(explain(net, x, target=0, tolerance=1e-9, maximum_steps=STEPS, pace="measured"))
    )
    sent = (found[-1].forwards + found[-1].backwards) / 2
    ours = len(x) / taken
    told = f"{len(x)} pictures of {x.shape[-1]} x {x.shape[-1]}"
    lines = [
        {"what": f"bare network, forward and backward ({how})", "rate": f"{bare:.2f} rows/s", "against": ""},
        {
            "what": f"auditkit, {told}, {found[-1].steps.mean():.0f} steps, pace: {found[-1].pace}",
            "rate": f"{ours:.3f} pictures/s",
            "against": f"{sent / taken / bare:.2f} of the bare rate (goal 0.9)",
        },
    ]
    for size in (None, *sizes):
        rate = captum_rate(net, x, size)
        name = "defaults, all rows at once" if size is None else f"batches of {size}"
        lines.append(
            {
                "what": f"captum, {told}, {STEPS} steps, {name}",
                "rate": f"{rate:.3f} pictures/s" if rate else "out of memory",
                "against": f"ours is {ours / rate:.2f} times as fast" if rate else "",
            }
        )
    return lines
