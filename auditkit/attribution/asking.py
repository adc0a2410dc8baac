"""Asking a model about rows, batch by batch: its answers, and what is seen of a pass at one of its layers.

    with asked(network, inputs) as asker:
        outputs = asker.outputs(inputs)
        seen = asker.at("body.2", inputs)

Batches are halved where memory runs out. Rows that influence each other are sent alone, which is found on the first
few. The model is left as it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel, finite
from auditkit.engine.rows import COUPLED, PROBE_ROWS, Scorer
from auditkit.engine.space import InputSpace
from auditkit.errors import InputError

T = TypeVar("T")
Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch at a layer that was called once.

    entering: its first input, detached; None where that is no tensor. leaving: its output; where gradients were asked
    for, it begins the graph that ends in `outputs`, [n, outputs].
    """

    entering: Tensor | None
    leaving: Tensor
    outputs: Tensor


class Asker:
    """A plain model with its batch size. forwards: rows sent so far. coupled: whether rows influence each other."""

    def __init__(self, model: PlainModel, size: int) -> None:
        self.model = model
        # inputs go in as they are, so the space is empty: of the scorer, only its batches and its counts are used
        self._scorer = Scorer(model, InputSpace(model, (), (), (), ()), size)
        self.coupled = False
        self._recurrent = any(isinstance(part, nn.RNNBase) for part in model.module.modules())

    @property
    def forwards(self) -> int:
        """Rows sent through the model so far."""
        return self._scorer.forwards

    def batches(self, count: int, work: Callable[[Tensor], T]) -> Iterator[tuple[Tensor, T]]:
        """The work over 0..count, counted; see `Scorer.batches`."""
        for index, done in self._scorer.batches(count, work):
            self._scorer.count(len(index))
            yield index, done

    def outputs(self, inputs: Inputs) -> Tensor:
        """[n, outputs] of all rows."""

        def work(index: Tensor) -> Tensor:
            with torch.no_grad():
                return self.model.logits(tuple(part[index] for part in inputs))

        return torch.cat([found for _, found in self.batches(len(inputs[0]), work)])

    def probe(self, inputs: Inputs) -> None:
        """Send one row at a time from now on where the first rows are answered differently in company and alone."""
        few = tuple(part[:PROBE_ROWS] for part in inputs)
        together = self.outputs(few).double()
        size, self._scorer.size = self._scorer.size, 1
        alone = self.outputs(few).double()
        self.coupled = bool(((together - alone).abs() > COUPLED * (alone.abs().amax() + 1e-6)).any())
        if not self.coupled:
            self._scorer.size = size

    def at(self, layer: str, inputs: Inputs, gradients: bool = False) -> Seen:
        """What one batch shows at a layer. Raises InputError where the layer is not called exactly once."""
        entering: list[Tensor | None] = []
        leaving: list[Any] = []

        def enter(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            first = next(iter((*given, *named.values())), None)
            entering.append(first.detach().clone() if isinstance(first, Tensor) else None)

        def leave(_module: nn.Module, _given: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(output, Tensor):
                leaving.append(output)
                return None
            leaving.append(output.detach().clone().requires_grad_(gradients))
            # a copy goes on, because what follows may work in place
            return leaving[-1] * 1.0 if gradients else None

        module = self.model.layer(layer)
        hooks = (module.register_forward_pre_hook(enter, with_kwargs=True), module.register_forward_hook(leave))
        try:
            # cuDNN differentiates recurrent cells in training mode only
            with torch.set_grad_enabled(gradients), torch.backends.cudnn.flags(enabled=not self._recurrent):
                outputs = self.model.logits(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        if len(leaving) != 1:
            raise InputError(
                f"layer {layer!r} is called {len(leaving)} times in one pass; name one that is called once"
            )
        last = leaving[0]
        if not isinstance(last, Tensor) or last.ndim < 2 or len(last) != len(inputs[0]):
            raise InputError(f"layer {layer!r} does not give one tensor with a row for each row of the inputs")
        return Seen(entering[0], last, outputs)

    def slope(self, total: Tensor, seen: Seen) -> Tensor:
        """The gradient of a total by what left the layer. Raises InputError where it does not depend on it."""
        found = torch.autograd.grad(total, seen.leaving, allow_unused=True)[0] if total.requires_grad else None
        if found is None:
            raise InputError("the model's output does not depend on what the layer gives; name another layer")
        return found

    def last_linear(self, inputs: Inputs) -> str:
        """The last `nn.Linear` to run. Raises InputError where there is none."""
        if "layers" in self.model.lacks:
            raise InputError(f"model: {self.model.lacks['layers']}; give the module")
        ran: list[str] = []
        named = [(name, part) for name, part in self.model.module.named_modules() if isinstance(part, nn.Linear)]
        hooks = [part.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, part in named]
        try:
            with torch.no_grad():
                self.model.logits(tuple(part[:1] for part in inputs))
        finally:
            for hook in hooks:
                hook.remove()
        if not ran:
            raise InputError("the model has no linear layer that runs; name a layer")
        return ran[-1]


@contextmanager
def asked(model: nn.Module | Callable[..., Tensor], inputs: Inputs, batch_size: int | None = None) -> Iterator[Asker]:
    """The model, ready to be asked, in eval mode; all is as before afterwards. inputs: rows like those to come."""
    known = PlainModel.of(model, inputs)
    with known.evaluating():
        asker = Asker(known, batch_size or rows_at_once(known, inputs))
        asker.probe(inputs)
        yield asker


def rows_of(given: Tensor | Sequence[Tensor], what: str) -> Inputs:
    """One tensor or several as several. Raises InputError where there are no rows, or not equally many in each."""
    parts = (given,) if isinstance(given, Tensor) else tuple(given)
    if not parts or not all(isinstance(part, Tensor) and part.ndim for part in parts):
        raise InputError(f"{what}: give a tensor [n, ...], or several")
    if len({len(part) for part in parts}) > 1:
        raise InputError(
            f"{what}: the tensors hold {', '.join(str(len(part)) for part in parts)} rows; give as many in each"
        )
    if not len(parts[0]):
        raise InputError(f"{what}: there are no rows")
    for part in parts:
        if not finite(part):
            raise InputError(f"{what}: there are values that are missing or infinite")
    return parts
