"""Places: which numbers of a row stand at which place of its attention, traced rather than guessed.

Words, steps, columns and patches become places, often behind one that stands for nothing ([CLS]). In the first layer
that attends, some numbers depend on one place alone (its query, or how well it fits itself): their gradient with
respect to the row is not zero just where that place's own input is. What belongs to no input (a [CLS], registers) is
left out, and what the network looks at there is attributed to nothing. Where a number of a row belongs to two places
(a convolution with overlap, a recurrent layer or a normalisation over places came first), attention is not to places
of the input any more, and the methods are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from auditkit.attribution.attention.weights import Attention, Reading, attention_of
from auditkit.attribution.explicands import Explicands, PartAttribution, attribution
from auditkit.attribution.method import Inputs, Validity, gradient_allows
from auditkit.attribution.recurrent import differentiating
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import Answering, InputSpace, Points, SpaceError
from auditkit.errors import InputError
from auditkit.subject.model import evaluating

MIXED = (
    "what it attends to is no place of the input: inputs are mixed before the first attention (by a convolution that "
    "overlaps, a recurrent layer or a normalisation over places)"
)


class NoPlacesError(ValueError):
    """The model's attention is to no places of its input; the message says why."""

    def __init__(self, reason: str, expected: bool = False) -> None:
        super().__init__(reason)
        self.expected = expected


def places_of(space: InputSpace, rows: Rows) -> Points:
    """For each point tensor the place of each of its numbers, int64 of its shape past the batch axis, -1 for none.

    rows: a few rows. Call it inside `model.evaluating()`. Raises NoPlacesError where attention is to no such places.
    """
    leaves = [part.detach().clone().requires_grad_(True) for part in rows.points]
    with differentiating(space.model.module):
        with Reading(len(rows)) as seen:
            space.logits(tuple(leaf * 1.0 for leaf in leaves), rows.held)
        _same_places(space.model, seen)
        sign = seen.calls[0].sign
        if not sign.requires_grad or not all(call.weights.requires_grad for call in seen.calls):
            raise NoPlacesError("no gradient leads from its attention back to its inputs")
        found = _owners(sign, leaves)
    if all(bool((owners < 0).all()) for owners in found):
        raise NoPlacesError("no input belongs to a place of its attention")
    return found


def attended(engine: Scorer, explicands: Explicands, reduce: Callable[[Attention], Tensor]) -> PartAttribution:
    """What `reduce` makes of the attention of each batch, [n, places], as values of the parts that stand there.

    A place's value is divided evenly among its numbers. Positions of a text without a word get none.
    """
    given = explicands.given

    def work(index: Tensor) -> tuple[Tensor, Tensor]:
        seen = attention_of(engine, given.take(index))
        return reduce(seen), (seen.weights[0] > 0).any(dim=2).any(dim=1)

    batches = []
    for index, batch in engine.batches(len(given), work):
        engine.count(len(index), backward=True)
        batches.append(batch)
    values, looked = (torch.cat(parts) for parts in zip(*batches, strict=True))
    places = _together(engine, given.take(covering(looked)))
    found = attribution(explicands, divided(values, places), np.ones(len(given), dtype=np.int64))
    if explicands.present is not None:
        found.values[~explicands.present] = 0.0
    return found


def covering(looked: Tensor) -> Tensor:
    """Rows, int64, that between them have every place that any row looks at: what fills up in one stands in another.

    looked: bool [n, places].

    >>> covering(torch.tensor([[True, False, False], [True, True, False], [False, False, True]])).tolist()
    [1, 2]
    """
    missing = looked.any(dim=0)
    rows: list[int] = []
    while bool(missing.any()) or not rows:
        rows.append(int((looked & missing).sum(dim=1).argmax()))
        missing = missing & ~looked[rows[-1]]
    return torch.tensor(rows, device=looked.device)


def _together(engine: Scorer, rows: Rows) -> Points:
    """The places that any of the rows tells of."""
    found: Points = ()
    try:
        for index, batch in engine.batches(len(rows), lambda index: places_of(engine.space, rows.take(index))):
            engine.count(len(index), backward=True)
            found = tuple(map(torch.maximum, found, batch)) if found else batch
    except NoPlacesError as problem:
        raise InputError(f"attention cannot be attributed to inputs: {problem}") from None
    return found


def divided(values: Tensor, places: Points) -> Points:
    """Values of places [n, places] as values of the numbers that stand there.

    >>> divided(torch.tensor([[1.0, 6.0]]), (torch.tensor([1, 1, -1, 0]),))[0].tolist()
    [[3.0, 3.0, 0.0, 1.0]]
    """
    every = torch.cat([owners.flatten() for owners in places])
    sizes = torch.bincount(every[every >= 0], minlength=values.shape[1]).clamp_min(1)
    shares = values / sizes
    return tuple(torch.where(owners >= 0, shares[:, owners.clamp_min(0)], 0) for owners in places)


def attention_allows(model: Answering, inputs: Inputs) -> Validity:
    """Refused without attention that can be read, and where it is to no places of the input."""
    if (asked := gradient_allows(model, inputs)).status == "refused":
        return asked
    try:
        with evaluating(model.module):
            space = InputSpace.trace(model, inputs)
            points, logits = space.enter(inputs)
            rows = Rows(points, torch.ones_like(logits), space.keep(inputs))
            places = places_of(space, rows)
            _, slopes = Scorer(model, space, len(logits)).differentiate(rows)
    except (SpaceError, NoPlacesError) as problem:
        return Validity("refused", str(problem), expected=getattr(problem, "expected", False))
    past = sum(int(((slope[0] != 0) & (owners < 0)).sum()) for slope, owners in zip(slopes, places, strict=True))
    if past:
        total = sum(owners.numel() for owners in places)
        return Validity("degraded", f"{past} of {total} numbers of a row reach the answer past its attention and get 0")
    return Validity()


def _owners(sign: Tensor, leaves: list[Tensor]) -> Points:
    """The place on which each number of the leaves [n, ...] alone bears, -1 where it bears on none.

    sign: [n, places, numbers]. One pass back for the places whose number has a digit 1 in base two, and one for those
    with a 0, of each digit: a number of one place answers to just one of both, one of two places once to both.
    """
    waves = (torch.cos(torch.arange(size, dtype=sign.dtype, device=sign.device)) for size in sign.shape[1:])
    each = torch.einsum("npk,p,k->p", sign, *waves)
    numbers = torch.arange(len(each), device=sign.device)
    found = [torch.zeros(leaf.shape[1:], dtype=torch.int64, device=leaf.device) for leaf in leaves]
    silent = [torch.ones_like(owners, dtype=torch.bool) for owners in found]
    for digit in range(max(1, (len(each) - 1).bit_length())):
        ones = (numbers >> digit) % 2 == 1
        answers = []
        for those in (ones, ~ones):
            slopes = torch.autograd.grad(each[those].sum(), leaves, retain_graph=True, allow_unused=True)
            answers.append(
                [
                    quiet ^ quiet if slope is None else (slope != 0).any(0)
                    for quiet, slope in zip(silent, slopes, strict=True)
                ]
            )
        for at, (one, zero) in enumerate(zip(*answers, strict=True)):
            if bool((one & zero).any()):
                raise NoPlacesError(MIXED)
            found[at] += one.long() << digit
            silent[at] &= ~(one | zero)
    return tuple(owners.masked_fill(none, -1) for owners, none in zip(found, silent, strict=True))


def _same_places(model: Answering, seen: Reading) -> None:
    """Raises NoPlacesError unless all layers attend from each place of a row to each, and the places stay."""
    if seen.other:
        raise NoPlacesError(
            f"it has attention of shape {seen.other[0]} that is not from each place of a row to each (to another "
            "sequence, or within windows)"
        )
    if not seen.calls:
        kinds = {getattr(part, "original_name", type(part).__name__) for part in model.module.modules()}
        if named := sorted(kind for kind in kinds if "attention" in kind.lower()):
            told = (
                f"its attention ({', '.join(named)}) shows no weights: it runs in a fused kernel or a scripted program"
            )
            raise NoPlacesError(told)
        raise NoPlacesError("it has no attention whose weights can be read", expected=True)
    lengths = sorted({call.shape[2] for call in seen.calls})
    if len(lengths) > 1:
        raise NoPlacesError(f"its places change between layers ({', '.join(map(str, lengths))} of them)")
