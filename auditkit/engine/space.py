"""Attribution space: where a model's inputs become real numbers that can be scaled, blended and differentiated.

Float inputs are such numbers already. Integer inputs (category codes, token ids) enter through the outputs of the
`nn.Embedding` modules that look them up. A point in the space is a tuple of float tensors: the float inputs, then one
tensor per embedding call; `InputSpace.logits` runs the model on points by replacing the embeddings' outputs.

Inputs that say where something stands (the mask of a text) are no part of the space. They are held: each point is sent
through the model with its own row's. So are the ids of a text themselves, for what a network may read off them beside
their vectors: which places only fill up, and the numbers of the positions that are counted from there.

Which embedding call belongs to which column or word is traced, not guessed. In a few probe rows, each integer position
is changed or not as the digits of its number in base two say, so that the pattern in which an index of a call changes
is the number of its owner; further rows, changed at random, confirm it. One embedding per column, one shared by all
columns, with or without offsets, one that looks up a whole sentence, all come out right, and ids that no input moves
(positions, segments) are left alone. In these rows the embeddings' outputs are pinned; where the model's answer moves
nevertheless, integer inputs reach it another way, and it is refused, because an attribution would miss them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.errors import InputError

Points = tuple[Tensor, ...]
"""float tensors [n, ...], one per place where rows enter the network"""
Position = tuple[int, int]
"""an integer input, and a position in it (flattened past the batch axis)"""
Flips = npt.NDArray[np.bool_]
CONFIRMING = 16
"""probe rows changed at random; a wrong owner passes them with a chance of about one in 65,000"""


class Answering(Protocol):
    """What is asked of a model: an audit's `Model`, or any module on tensors (`auditkit.engine.plain.PlainModel`)."""

    module: nn.Module
    device: torch.device
    preprocessing: Any
    lacks: dict[str, str]

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor: ...

    def layer(self, name: str) -> nn.Module: ...


class SpaceError(InputError):
    """The model's answers cannot be divided among its inputs; the message says why."""


@dataclass(frozen=True)
class Slot:
    """One call of an embedding, in the order of the forward pass.

    owners: for each position of the call's index tensor (flattened past the batch axis) the integer input and the
    position in it that it looks up.
    """

    module: str
    call: int
    owners: tuple[Position, ...]


@dataclass(frozen=True)
class InputSpace:
    """The attribution space of a model, for inputs like the ones it was traced with.

    floats, held: the places of inputs that are points, and of those that each row keeps. An integer input that is
    neither is known by its embeddings alone.
    """

    model: Answering
    floats: tuple[int, ...]
    held: tuple[int, ...]
    tails: tuple[tuple[torch.dtype, tuple[int, ...]], ...]
    slots: tuple[Slot, ...]

    @classmethod
    def trace(cls, model: Answering, inputs: tuple[Tensor, ...]) -> InputSpace:
        """Find the space from a few rows of inputs (each [n, ...], n >= 1). Call it inside `model.evaluating()`.

        Raises SpaceError where an integer input reaches the output other than through an `nn.Embedding`.
        """
        declared = model.preprocessing.held
        tails = tuple((part.dtype, tuple(part.shape[1:])) for part in inputs)
        free = [place for place in range(len(inputs)) if place not in declared]
        floats = tuple(place for place in free if inputs[place].is_floating_point())
        codes = tuple(place for place in free if place not in floats)
        pad = getattr(model.preprocessing, "pad", None)
        held = declared if pad is None else tuple(sorted({*declared, *codes}))
        positions = [(place, index) for place in codes for index in range(inputs[place][0].numel())]
        if not positions:
            return cls(model, floats, held, tails, ())
        probe = _Probe(_fullest(inputs, declared), positions, _two_codes([inputs[place] for place in codes], pad))
        return cls(model, floats, held, tails, _slots(model, probe))

    def enter(self, inputs: tuple[Tensor, ...]) -> tuple[Points, Tensor]:
        """The points of a batch of inputs, and its logits, from one forward pass."""
        wanted = {(slot.module, slot.call): place for place, slot in enumerate(self.slots)}
        found: dict[int, Tensor] = {}

        def keep(name: str, call: int, _ids: Tensor, output: Tensor) -> None:
            if (name, call) in wanted:
                found[wanted[name, call]] = output.clone()

        with torch.no_grad(), _embedding_hooks(self.model, keep):
            logits = self.model.logits(inputs)
        return (*(inputs[place] for place in self.floats), *(found[place] for place in range(len(self.slots)))), logits

    def keep(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What of a batch of inputs is held, for `logits`."""
        return tuple(inputs[place] for place in self.held)

    def logits(self, points: Points, held: tuple[Tensor, ...] = ()) -> Tensor:
        """Logits [n, classes] at points of the space; keeps the graph where gradients are on.

        held: what `keep` kept of each point's own row.
        """
        count, device = len(points[0]), self.model.device
        given = dict(zip(self.floats, points, strict=False)) | dict(zip(self.held, held, strict=True))
        inputs = tuple(
            given[place] if place in given else torch.zeros((count, *tail), dtype=dtype, device=device)
            for place, (dtype, tail) in enumerate(self.tails)
        )
        if not self.slots:
            return self.model.logits(inputs)
        outputs = {(s.module, s.call): p for s, p in zip(self.slots, points[len(self.floats) :], strict=True)}
        with _embedding_hooks(self.model, lambda name, call, _ids, _output: outputs.get((name, call))):
            return self.model.logits(inputs)

    def owner(self, point: int) -> tuple[Position, ...]:
        """Which (input, position) owns each position of a point tensor past its batch axis.

        A float input's positions are its own; an embedding's are those of its index tensor, without the vector axis.
        """
        if point < len(self.floats):
            place = self.floats[point]
            return tuple((place, index) for index in range(torch.Size(self.tails[place][1]).numel()))
        return self.slots[point - len(self.floats)].owners


Hook = Callable[[str, int, Tensor, Tensor], Tensor | None]
"""(module name, number of the call, ids, output) → a replacement of the output, or None"""
Calls = dict[tuple[str, int], tuple[Tensor, Tensor]]
"""(module name, number of the call) → (ids, output), in the order of the forward pass"""


@contextmanager
def _embedding_hooks(model: Answering, hook: Hook) -> Iterator[None]:
    """Call `hook` on each embedding's output during a forward pass; the hooks are gone afterwards."""
    calls: dict[str, int] = {}

    def attach(name: str) -> Callable[[nn.Module, Any, dict[str, Any], Tensor], Tensor | None]:
        def seen(_module: nn.Module, inputs: Any, named: dict[str, Any], output: Tensor) -> Tensor | None:
            call = calls.get(name, 0)
            calls[name] = call + 1
            return hook(name, call, inputs[0] if inputs else named["input"], output)

        return seen

    embeddings = [(name, part) for name, part in model.module.named_modules() if isinstance(part, nn.Embedding)]
    handles = [part.register_forward_hook(attach(name), with_kwargs=True) for name, part in embeddings]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class _Probe:
    """Rows that tell integer positions apart: one row of inputs, in which positions hold one code or the other."""

    row: tuple[Tensor, ...]
    positions: Sequence[Position]
    codes: tuple[int, int]

    @property
    def digits(self) -> int:
        """How many probe rows it takes to number the positions from one on."""
        return len(self.positions).bit_length()

    def flips(self) -> Flips:
        """[rows, positions]: the digits of each position's number, then coins."""
        numbers = np.arange(1, len(self.positions) + 1)
        digits = [(numbers >> digit) % 2 == 1 for digit in range(self.digits)]
        coins = np.random.default_rng(0).integers(0, 2, (CONFIRMING, len(self.positions))) == 1
        return np.concatenate([digits, coins])

    def inputs(self, flips: Flips) -> tuple[Tensor, ...]:
        """The row, repeated, with the second code where a position is flipped and the first where it is not."""
        parts = []
        for place, part in enumerate(self.row):
            own = [column for column, (owner, _) in enumerate(self.positions) if owner == place]
            if own:
                values = torch.from_numpy(np.where(flips[:, own], self.codes[1], self.codes[0]))
                parts.append(values.reshape(len(flips), *part.shape[1:]).to(part.device, part.dtype))
            else:
                parts.append(part.expand(len(flips), *part.shape[1:]).contiguous())
        return tuple(parts)


def _fullest(inputs: tuple[Tensor, ...], declared: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The row [1, ...] whose held inputs are largest: of masks, the one that hides least."""
    sizes = [inputs[place].double().flatten(1).sum(dim=1) for place in declared]
    row = int(torch.stack(sizes).sum(dim=0).argmax()) if sizes else 0
    return tuple(part[row : row + 1] for part in inputs)


def _two_codes(codes: Sequence[Tensor], pad: int | None) -> tuple[int, int]:
    """Two codes to tell rows apart by: 0 and 1, or of a text two ids that do not fill up."""
    if pad is None:
        return 0, 1
    highest = max(int(part[part != pad].max()) if (part != pad).any() else 0 for part in codes)
    known = [code for code in range(max(highest, pad + 2), -1, -1) if code != pad]
    return known[0], known[1]


def _slots(model: Answering, probe: _Probe) -> tuple[Slot, ...]:
    """The embedding calls that integer positions own, once it is sure that nothing else depends on these."""
    before: Calls = {}
    found: dict[tuple[str, int], Slot] = {}

    def record(name: str, call: int, ids: Tensor, output: Tensor) -> None:
        before[name, call] = ids, output

    def pin(name: str, call: int, ids: Tensor, output: Tensor) -> Tensor | None:
        known = before.get((name, call))
        if known is None or (owners := _owners(name, known[0], ids, flips, probe)) is None:
            return None
        found[name, call] = Slot(name, call, owners)
        return known[1].expand_as(output)

    def pinned(name: str, call: int, _ids: Tensor, output: Tensor) -> Tensor | None:
        return before[name, call][1].expand_as(output) if (name, call) in found else None

    def moved(flips: Flips, hook: Hook) -> bool:
        logits = _answered(model, probe.inputs(flips), hook)
        return bool(((logits - logits[:1]).abs() > 1e-4 * (1 + logits.abs().max())).any())

    nothing = np.zeros((1, len(probe.positions)), dtype=bool)
    flips = np.concatenate([nothing, probe.flips()])
    _answered(model, probe.inputs(nothing), record)
    if moved(flips, pin):
        culprit = _one_of(lambda flips: moved(np.concatenate([nothing, flips]), pinned), len(probe.positions))
        place, index = probe.positions[culprit]
        raise SpaceError(
            f"position {index} of integer input {place} reaches the output other than through an nn.Embedding "
            "module, so no gradient or blend can follow it"
        )
    return tuple(found.values())


def _answered(model: Answering, inputs: tuple[Tensor, ...], hook: Hook) -> Tensor:
    """The logits of made-up inputs. Raises SpaceError for a model that takes only certain ids."""
    try:
        with torch.inference_mode(), _embedding_hooks(model, hook):
            return model.logits(inputs)
    except SpaceError:
        raise
    except (ValueError, IndexError) as problem:
        raise SpaceError(
            f"the model does not answer made-up ids, with which its inputs are traced: {problem}"
        ) from None


def _one_of(moved: Callable[[Flips], bool], count: int) -> int:
    """A position that moves the output by itself, found by halving."""
    first, last = 0, count
    while last - first > 1:
        middle = (first + last) // 2
        flips = np.zeros((1, count), dtype=bool)
        flips[:, first:middle] = True
        first, last = (first, middle) if moved(flips) else (middle, last)
    return first


def _owners(name: str, before: Tensor, after: Tensor, flips: Flips, probe: _Probe) -> tuple[Position, ...] | None:
    """The owner of each position of an index tensor seen in the probe; None for ids that no input moves.

    before: the ids of the one row without a flip. after: those of all rows.
    """
    if after.ndim == 0 or len(before) != 1 or len(after) != len(flips) or after.shape[1:] != before.shape[1:]:
        return None
    changed = (after != before).reshape(len(after), -1).cpu().numpy()
    if not changed.any():
        return None
    numbers = (changed[1 : probe.digits + 1] * (1 << np.arange(probe.digits))[:, None]).sum(axis=0)
    if (numbers == 0).any():
        raise SpaceError(f"embedding {name!r} looks up ids of its own beside those of integer inputs")
    if (numbers > len(probe.positions)).any() or (changed != flips[:, np.minimum(numbers, flips.shape[1]) - 1]).any():
        raise SpaceError(
            f"embedding {name!r} looks up ids made from several integer inputs at once, so its output belongs to no "
            "single column"
        )
    return tuple(probe.positions[number - 1] for number in numbers)
