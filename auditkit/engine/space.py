"""Attribution space: where a model's inputs become real numbers that can be scaled, blended and differentiated.

Float inputs are such numbers already. Integer inputs (category codes, token ids) enter through the outputs of the
`nn.Embedding` modules that look them up. A point in the space is a tuple of float tensors: the float inputs, then one
tensor per embedding call; `InputSpace.logits` runs the model on points by replacing the embeddings' outputs.

Which embedding call belongs to which column is traced, not guessed: in a probe batch each integer position is changed
alone, and the positions of each call's index tensor that change with it are its own. One embedding per column, one
shared by all columns, with or without offsets, all come out right. A second run with the embeddings pinned shows
integer inputs that reach the output another way; such a model is refused, because an attribution would miss them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.subject.model import Model

Points = tuple[Tensor, ...]
"""float tensors [n, ...], one per place where rows enter the network"""


class SpaceError(ValueError):
    """The model's inputs have no attribution space; the message says why."""


@dataclass(frozen=True)
class Slot:
    """One call of an embedding, in the order of the forward pass.

    owners: for each position of the call's index tensor (flattened past the batch axis) the integer input and the
    position in it that it looks up.
    """

    module: str
    call: int
    owners: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class InputSpace:
    """The attribution space of a model, for inputs like the ones it was traced with."""

    model: Model
    floats: tuple[int, ...]
    tails: tuple[tuple[torch.dtype, tuple[int, ...]], ...]
    slots: tuple[Slot, ...]

    @classmethod
    def trace(cls, model: Model, inputs: tuple[Tensor, ...]) -> InputSpace:
        """Find the space from one row of inputs (each [1, ...]). Call it inside `model.evaluating()`.

        Raises SpaceError where an integer input reaches the output other than through an `nn.Embedding`.
        """
        tails = tuple((part.dtype, tuple(part.shape[1:])) for part in inputs)
        floats = tuple(place for place, part in enumerate(inputs) if part.is_floating_point())
        positions = [
            (place, index)
            for place, part in enumerate(inputs)
            if place not in floats
            for index in range(part[0].numel())
        ]
        if not positions:
            return cls(model, floats, tails, ())
        probe = _probe(inputs, floats, positions)
        calls: list[tuple[str, int, Tensor, Tensor]] = []
        with torch.inference_mode(), _embedding_hooks(model, _recorder(calls)):
            model.logits(probe)
        slots: list[Slot] = []
        pinned: dict[tuple[str, int], Tensor] = {}
        for name, call, ids, output in calls:
            owners = _owners(name, ids, positions)
            if owners is not None:
                slots.append(Slot(name, call, owners))
                pinned[name, call] = output[:1].expand_as(output)
        with (
            torch.inference_mode(),
            _embedding_hooks(model, lambda name, call, _ids, out: pinned.get((name, call), out)),
        ):
            held = model.logits(probe)
        moved = (held - held[:1]).abs().amax(dim=1)[1:] > 1e-4 * (1 + held.abs().max())
        if moved.any():
            place, index = positions[int(moved.nonzero()[0])]
            raise SpaceError(
                f"position {index} of integer input {place} reaches the output other than through an nn.Embedding "
                "module, so no gradient or blend can follow it"
            )
        return cls(model, floats, tails, tuple(slots))

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

    def logits(self, points: Points) -> Tensor:
        """Logits [n, classes] at points of the space; keeps the graph where gradients are on."""
        count, device = len(points[0]), self.model.device
        given = dict(zip(self.floats, points, strict=False))
        inputs = tuple(
            given[place] if place in given else torch.zeros((count, *tail), dtype=dtype, device=device)
            for place, (dtype, tail) in enumerate(self.tails)
        )
        if not self.slots:
            return self.model.logits(inputs)
        outputs = {(s.module, s.call): p for s, p in zip(self.slots, points[len(self.floats) :], strict=True)}
        with _embedding_hooks(self.model, lambda name, call, _ids, _output: outputs.get((name, call))):
            return self.model.logits(inputs)

    def owner(self, point: int) -> tuple[tuple[int, int], ...]:
        """Which (input, position) owns each position of a point tensor past its batch axis.

        A float input's positions are its own; an embedding's are those of its index tensor, without the vector axis.
        """
        if point < len(self.floats):
            place = self.floats[point]
            return tuple((place, index) for index in range(torch.Size(self.tails[place][1]).numel()))
        return self.slots[point - len(self.floats)].owners


Hook = Callable[[str, int, Tensor, Tensor], Tensor | None]
"""(module name, number of the call, ids, output) → a replacement of the output, or None"""


@contextmanager
def _embedding_hooks(model: Model, hook: Hook) -> Iterator[None]:
    """Call `hook` on each embedding's output during a forward pass; the hooks are gone afterwards."""
    calls: dict[str, int] = {}

    def attach(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        def seen(_module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            call = calls.get(name, 0)
            calls[name] = call + 1
            return hook(name, call, inputs[0], output)

        return seen

    embeddings = [(name, part) for name, part in model.module.named_modules() if isinstance(part, nn.Embedding)]
    handles = [part.register_forward_hook(attach(name)) for name, part in embeddings]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _recorder(calls: list[tuple[str, int, Tensor, Tensor]]) -> Hook:
    def record(name: str, call: int, ids: Tensor, output: Tensor) -> None:
        calls.append((name, call, ids, output))

    return record


def _probe(inputs: tuple[Tensor, ...], floats: tuple[int, ...], positions: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    """One row of zeros, then one row per integer position with a 1 there; float inputs are repeated."""
    rows = len(positions) + 1
    probe = []
    for place, part in enumerate(inputs):
        if place in floats:
            probe.append(part[:1].expand(rows, *part.shape[1:]).contiguous())
            continue
        codes = torch.zeros((rows, part[0].numel()), dtype=part.dtype, device=part.device)
        for row, (owner, index) in enumerate(positions, start=1):
            if owner == place:
                codes[row, index] = 1
        probe.append(codes.reshape(rows, *part.shape[1:]))
    return tuple(probe)


def _owners(name: str, ids: Tensor, positions: list[tuple[int, int]]) -> tuple[tuple[int, int], ...] | None:
    """The owner of each position of an index tensor seen in the probe; None for ids that no input moves."""
    if ids.ndim == 0 or len(ids) != len(positions) + 1:
        return None
    flat = ids.reshape(len(ids), -1)
    changed = (flat[1:] != flat[:1]).cpu()
    if not changed.any():
        return None
    counts = changed.sum(dim=0)
    if (counts != 1).any():
        raise SpaceError(
            f"embedding {name!r} looks up ids made from several integer inputs at once, so its output belongs to no "
            "single column"
        )
    return tuple(positions[int(row)] for row in changed.int().argmax(dim=0))
