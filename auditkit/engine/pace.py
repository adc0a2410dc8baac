"""Pace: the fastest way to run a module that changes nothing that matters, found by trying.

Where there is much to do, the same batch is run as the module is, with its weights and pictures in channels-last order,
and on an accelerator also with products in TF32 and in half precision. A way is taken if it is clearly faster and both
scores and gradients stay what they were, to a tenth of the tolerance. The module is put back as it was.

A clock decides, so that the last digits of an explanation may differ from one run to the next. Audits, whose results
are to repeat bit for bit, are always run as the module is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCHES = 64
"""with fewer batches to run, trying takes longer than it saves"""
WORTH = 0.9
"""a way must take less than this share of the time"""
TURNS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """A way to run a module. last: channels-last memory; tf32: products in TF32; half: products in that number type."""

    name: str
    last: bool = False
    tf32: bool = False
    half: torch.dtype | None = None

    @contextmanager
    def of(self, module: nn.Module) -> Iterator[None]:
        """The module with its weights in this order; as they were afterwards."""
        moved = [part for part in module.parameters() if self.last and part.ndim == 4 and part.is_contiguous()]
        try:
            for part in moved:
                part.data = part.data.contiguous(memory_format=torch.channels_last)
            yield
        finally:
            for part in moved:
                part.data = part.data.contiguous()

    def run(self, module: Callable[..., object], inputs: tuple[Tensor, ...]) -> object:
        """The module's answer."""
        if self is AS_GIVEN:
            return module(*inputs)
        with ExitStack() as stack:
            if self.tf32:
                stack.enter_context(_tf32())
            if self.half is not None:
                stack.enter_context(torch.autocast(inputs[0].device.type, self.half))
            return module(*(self._laid(part) for part in inputs))

    def _laid(self, part: Tensor) -> Tensor:
        return part.contiguous(memory_format=torch.channels_last) if self.last and part.ndim == 4 else part


AS_GIVEN = Pace("as given")


@dataclass(frozen=True, slots=True)
class Found:
    """The pace that was chosen, how many times as fast as the module as given, and how far its numbers are off."""

    pace: Pace
    speed: float
    difference: float

    def __str__(self) -> str:
        """In words.

        >>> str(Found(AS_GIVEN, 1.0, 0.0)), str(Found(Pace("channels last", last=True), 1.62, 2e-7))
        ('as given', 'channels last (1.6 times as fast; numbers differ by 2e-07)')
        """
        if self.pace is AS_GIVEN:
            return self.pace.name
        return f"{self.pace.name} ({self.speed:.1f} times as fast; numbers differ by {self.difference:.0e})"


def candidates(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Pace]:
    """What may be tried for a module and inputs like these."""
    pictures = any(part.ndim == 4 for part in inputs) and any(isinstance(part, nn.Conv2d) for part in module.modules())
    orders = [False, True] if pictures else [False]
    found = [Pace("channels last", last=True)] if pictures else []
    single = all(part.dtype == torch.float32 for part in inputs if part.is_floating_point())
    if inputs[0].device.type == "cuda" and single:
        kinds: list[tuple[str, bool, torch.dtype | None]] = [
            ("TF32", True, None),
            ("float16", False, torch.float16),
            ("bfloat16", False, torch.bfloat16),
        ]
        found += [
            Pace(f"{name}, channels last" if last else name, last, tf32, half)
            for name, tf32, half in kinds
            for last in orders
        ]
    return found


def fastest(
    module: nn.Module, candidates: list[Pace], work: Callable[[Pace], tuple[Tensor, ...]], tolerance: float
) -> Found:
    """The fastest pace whose numbers are those of the module as given.

    work: runs one batch at a pace and hands back its numbers [rows, ...], which are compared relative to the largest.
    """
    expected = work(AS_GIVEN)
    usual, best = _seconds(lambda: work(AS_GIVEN)), Found(AS_GIVEN, 1.0, 0.0)
    for pace in candidates:
        with pace.of(module):
            try:
                found = work(pace)
            except (RuntimeError, ValueError):  # a way that the module cannot be run
                continue
            apart = max(_apart(part, other) for part, other in zip(found, expected, strict=True))
            if not apart <= tolerance / 10:
                continue
            speed = usual / _seconds(lambda pace=pace: work(pace))  # type: ignore[misc]
        if speed * WORTH > 1 and speed > best.speed:
            best = Found(pace, speed, apart)
    return best


def _apart(found: Tensor, expected: Tensor) -> float:
    scale = expected.double().abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return float((found.double() - expected.double()).abs().max() / scale)


def _seconds(work: Callable[[], tuple[Tensor, ...]]) -> float:
    """The least of a few turns, waiting for the accelerator."""
    taken = []
    for _ in range(TURNS):
        start = time.perf_counter()
        on_device = any(part.is_cuda for part in work())
        if on_device:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
