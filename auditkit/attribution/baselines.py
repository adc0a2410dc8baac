"""Baselines: what a row is compared with. There is no right one; each answers "compared with what?" in its own way.

zero      nothing at all; of a text the id that fills up, where its embedding names one (padding_idx)
mean      the average reference row; of ids the average of their embeddings
median    the middle of every number of the reference rows
uniform   every number anew, equally likely between its least and largest reference value (seeded)
blurred   a picture or series without its detail: a Gaussian blur of the row itself
sample    a reference row for each row, drawn with the seed

They are made in attribution space (`auditkit.engine.space`), so that ids have the same kinds as numbers have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from auditkit.engine.plain import PlainModel
from auditkit.engine.space import InputSpace, Points
from auditkit.errors import InputError, nearest

Kind = Literal["zero", "mean", "median", "uniform", "blurred", "sample"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Given: TypeAlias = Kind | Tensor | Sequence[Tensor] | int | float | None
"""a kind; inputs to compare with, of one row or of as many as there are; or one value for every number or id"""
BLUR = 5.0
"""the blur's standard deviation: a fifth of the side"""


def points_of(
    model: PlainModel,
    space: InputSpace,
    given: Given,
    inputs: tuple[Tensor, ...],
    reference: tuple[Tensor, ...] | None,
    seed: int,
) -> tuple[Points, str]:
    """The baseline's points, [1, ...] or [n, ...], and what they are in words.

    given: None is zero for numbers, and for ids what fills up, or the average row where nothing does. reference: rows
    that stand for what is usual; the rows themselves where None. Raises InputError for a kind that is none.
    """
    if isinstance(given, str):
        if given not in KINDS:
            raise InputError(f"baseline: there is no {given!r}; {nearest(given, KINDS)}")
        return _of_kind(model, space, given, inputs, reference, seed)
    if given is None:
        return _usual(model, space, inputs, reference)
    if isinstance(given, (int, float)):
        parts = tuple(torch.full_like(part[:1], given) for part in inputs)
        return space.enter(parts)[0], f"{given} everywhere"
    parts = (given,) if isinstance(given, Tensor) else tuple(given)
    if len(parts) != len(inputs) or any(
        b.shape[1:] != x.shape[1:] or len(b) not in (1, len(x)) for b, x in zip(parts, inputs, strict=False)
    ):
        shapes = ", ".join(str([1, *part.shape[1:]]) for part in inputs)
        raise InputError(f"baseline: give tensors shaped as one row of the inputs ({shapes}) or as all of them")
    parts = tuple(b.to(x.device, x.dtype) for b, x in zip(parts, inputs, strict=True))
    return space.enter(parts)[0], "the baseline that was given"


def digest(points: Points) -> str:
    """SHA-256 of a baseline's numbers: what an attribution was made against, for the record."""
    state = hashlib.sha256()
    for part in points:
        array = part.detach().cpu().contiguous()
        state.update(f"{array.dtype}{tuple(array.shape)}".encode())
        state.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def _usual(
    model: PlainModel, space: InputSpace, inputs: tuple[Tensor, ...], reference: tuple[Tensor, ...] | None
) -> tuple[Points, str]:
    if all(part.is_floating_point() for part in inputs):
        return tuple(torch.zeros_like(part[:1]) for part in inputs), "zero everywhere"
    fills = {
        part.padding_idx
        for part in model.module.modules()
        if isinstance(part, nn.Embedding) and part.padding_idx is not None
    }
    if len(fills) == 1:
        fill = fills.pop()
        parts = tuple(torch.full_like(x[:1], 0 if x.is_floating_point() else fill) for x in inputs)
        return space.enter(parts)[0], f"the id that fills up ({fill}) in place of every id, zero for every number"
    return _of_kind(model, space, "mean", inputs, reference, 0)


def _of_kind(
    model: PlainModel,
    space: InputSpace,
    kind: Kind,
    inputs: tuple[Tensor, ...],
    reference: tuple[Tensor, ...] | None,
    seed: int,
) -> tuple[Points, str]:
    own = space.enter(inputs)[0]
    if kind == "zero":
        return tuple(torch.zeros_like(part[:1]) for part in own), "zero everywhere"
    if kind == "blurred":
        return tuple(_blurred(part) for part in own), "the row itself, blurred"
    usual = own if reference is None else space.enter(reference)[0]
    whose = "the rows themselves" if reference is None else f"{len(usual[0]):,} reference rows"
    if kind == "mean":
        return tuple(part.mean(dim=0, keepdim=True) for part in usual), f"the average of {whose}"
    if kind == "median":
        return tuple(part.quantile(0.5, dim=0, keepdim=True) for part in usual), f"the median of {whose}"
    generator = torch.Generator().manual_seed(seed)
    if kind == "sample":
        drawn = torch.randint(len(usual[0]), (len(own[0]),), generator=generator).to(own[0].device)
        return tuple(part[drawn] for part in usual), f"for each row one of {whose}, drawn"
    made = []
    for part in usual:
        low, high = part.amin(dim=0, keepdim=True), part.amax(dim=0, keepdim=True)
        noise = torch.rand((len(own[0]), *part.shape[1:]), generator=generator, dtype=part.dtype).to(part.device)
        made.append(low + noise * (high - low))
    return tuple(made), f"every number drawn between the least and the largest of {whose}"


def _blurred(part: Tensor) -> Tensor:
    """A Gaussian blur over the last two axes of pictures [n, C, H, W], over time of series [n, T, C]."""
    axes: tuple[int, ...]
    if part.ndim == 4:
        axes = (2, 3)
    elif part.ndim == 3:
        axes = (1,)
    else:
        raise InputError("baseline 'blurred' is for pictures [n, C, H, W] and series [n, T, C]")
    for axis in axes:
        moved = part.movedim(axis, -1)
        size = moved.shape[-1]
        places = torch.arange(size, dtype=part.dtype, device=part.device)
        kernel = torch.exp(-0.5 * ((places[:, None] - places[None]) * BLUR / size) ** 2)
        part = (moved @ (kernel / kernel.sum(dim=0))).movedim(-1, axis)
    return part
