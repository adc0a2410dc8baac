"""Program: a network that came as a program, without Python modules to look into.

What cannot be done with it stands in `limits`: `layers` or `gradients` to the sentence that says why (as `Model.lacks`
has it). A program that takes batches of certain sizes only is fed in such sizes: rows are cut into parts, the last part
is filled up by repeating its last row, and the outputs of these are cut off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import InputError


def limits_of(module: nn.Module) -> dict[str, str]:
    """What cannot be done with a module: `layers` or `gradients`, and why. Empty for ordinary modules.

    >>> limits_of(nn.Linear(2, 2))
    {}
    """
    return dict(getattr(module, "limits", {}))


class Program(nn.Module):
    """`run(*inputs) -> output` as a module in eval mode.

    weights: what holds the parameters and buffers, or None. layers: the modules by dotted name, in the order of their
    calls, that the program calls as modules, so that hooks on them fire. sha256: the file's digest, kept as a buffer
    so that a model's identity covers the program and not its weights alone. smallest, largest: rows that one call
    takes.
    """

    sha256: Tensor
    limits: dict[str, str]
    _run: Callable[..., Any]
    _weights: nn.Module | None

    def __init__(
        self,
        run: Callable[..., Any],
        sha256: str,
        *,
        weights: nn.Module | None = None,
        layers: Mapping[str, nn.Module] | None = None,
        limits: Mapping[str, str] | None = None,
        smallest: int = 1,
        largest: int | None = None,
    ) -> None:
        super().__init__()
        self.__dict__["_run"] = run
        self.__dict__["_weights"] = weights
        self.limits = dict(limits or {})
        self.smallest, self.largest = smallest, largest
        self.register_buffer("sha256", torch.frombuffer(bytearray.fromhex(sha256), dtype=torch.uint8))
        for name, layer in (layers or {}).items():
            self._show(name, layer)
        super().train(False)

    def forward(self, *inputs: Tensor) -> Any:
        """The program's output for inputs of any number of rows."""
        return in_batches(self._run, inputs, self.smallest, self.largest)

    def train(self, mode: bool = True) -> Program:
        """Nothing: a program was saved in eval mode and stays so."""
        return self

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The program's own parameters, which no visible submodule holds."""
        if self._weights is not None:
            yield from self._weights.named_parameters(prefix, recurse, remove_duplicate)

    def state_dict(self, *arguments: Any, prefix: str = "", **named: Any) -> dict[str, Any]:  # type: ignore[override]
        """Weights and buffers of the program, and its file's digest."""
        held = {} if self._weights is None else self._weights.state_dict(*arguments, prefix=prefix, **named)
        return {**held, f"{prefix}sha256": self.sha256}

    def _show(self, name: str, layer: nn.Module) -> None:
        """Register a layer under its dotted name, within empty modules for the parts before the last."""
        *parts, last = name.split(".")
        holder: nn.Module = self
        for part in parts:
            if part not in holder._modules:
                holder.add_module(part, nn.Module())
            holder = holder.get_submodule(part)
        holder.add_module(last, layer)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Program:
        if self._weights is not None:
            self._weights._apply(fn)
        return super()._apply(fn, recurse)


def in_batches(run: Callable[..., Any], inputs: tuple[Tensor, ...], smallest: int, largest: int | None) -> Any:
    """Outputs for all rows from a program that takes `smallest` to `largest` rows at once (None: any number).

    >>> in_batches(lambda x: x * 10, (torch.tensor([1, 2, 3]),), 2, 2)
    tensor([10, 20, 30])
    """
    rows = len(inputs[0]) if inputs else 0
    if smallest <= rows and (largest is None or rows <= largest):
        return run(*inputs)
    size = max(rows, smallest) if largest is None else largest
    parts = []
    for start in range(0, rows, size):
        part = [one[start : start + size] for one in inputs]
        count = len(part[0])
        if (lacking := smallest - count) > 0:
            part = [torch.cat([one, one[-1:].expand(lacking, *one.shape[1:])]) for one in part]
        parts.append(_cut(run(*part), count))
    if not parts:
        raise InputError("a program that takes a fixed number of rows cannot be run on none")
    return _joined(parts)


def _cut(output: Any, rows: int) -> Any:
    if isinstance(output, Tensor):
        return output[:rows]
    if isinstance(output, Mapping):
        return {key: _cut(value, rows) for key, value in output.items()}
    return tuple(_cut(part, rows) for part in output)


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    if isinstance(parts[0], Mapping):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    return tuple(_joined(list(column)) for column in zip(*parts, strict=True))
