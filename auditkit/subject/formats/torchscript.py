"""TorchScript: a traced or scripted network with its code, as `torch.jit.save` writes it.

Its code is TorchScript, a language of its own that is compiled and not Python, and its pickles are read by a C++
reader that builds TorchScript values only, so opening it runs no Python. TorchScript itself still has a few operators
that touch files or other machines (`aten::save`, `aten::from_file`, rpc), and classes bound to C++; an archive that
names one of them is refused before it is loaded, as its `__setstate__` would run on loading.

torch lets no forward hook be set on a loaded script module. A traced network is therefore written out as a graph of
operators (`tracing.py`) into which its modules are put back (`restoring.py`). A scripted one is run as it is: logits
and gradients with respect to inputs work, inner activations and penultimate features cannot be seen.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from auditkit.errors import InputError
from auditkit.subject.formats.archive import digest, read_members, write_members
from auditkit.subject.formats.program import Program
from auditkit.subject.formats.restoring import restore
from auditkit.subject.formats.tracing import flatten

LIMITS = {
    "layers": "torch lets no hook be set on a scripted module, so its activations and penultimate features are "
    "not seen",
}
_NEEDED = ("constants.pkl", "data.pkl", "version")
_TOUCHES = re.compile(r"\b(save|from_file|load_tensor|rpc_\w+|PythonOp|IgnoredPythonOp)\b|\^\s*[A-Za-z_]")
_BOUND = re.compile(rb"__torch__\.torch\.classes\.(?!quantized\.)[\w.]*")
_OPERATORS = re.compile(r"\bops\s*\.\s*(?!(?:aten|prim|quantized|_quantized|quantization|mkldnn)\b)(\w+)")


def load_torchscript(path: str | Path) -> Program:
    """A TorchScript file as a module on the CPU. The layers of a scripted network are hidden: see `limits`.

    Raises InputError for a file that is no TorchScript archive (a pickle is not run), one that is damaged, and one
    that would touch files or other machines.
    """
    path = Path(path).expanduser()
    members = read_members(path, "TorchScript archive")
    if any(name not in members for name in _NEEDED) or not any(name.startswith("code/") for name in members):
        raise InputError(f"{path}: no TorchScript archive (it has no compiled code); save it with torch.jit.save")
    screen(members, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            script = torch.jit.load(write_members(members), map_location="cpu")
    except Exception as problem:
        said = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
        raise InputError(f"{path}: torch cannot load this TorchScript archive ({said.strip()[:200]})") from None
    script.eval()
    _refuse_training(script, path)
    graph = flatten(script)
    if graph is None:
        return Program(script, digest(members), weights=script, limits=LIMITS)
    layers = restore(graph)
    return Program(graph, digest(members), weights=graph, layers=layers)


def _refuse_training(script: Any, path: Path) -> None:
    """Refuse a trace of a network in training mode: what it did then is in its graph for good."""
    graph = script.inlined_graph  # held, as its nodes live no longer than it
    for kind, place in (("aten::dropout", 2), ("aten::feature_dropout", 2), ("aten::batch_norm", 5)):
        for node in graph.findAllNodes(kind):
            if list(node.inputs())[place].toIValue() in (True, 1):
                raise InputError(
                    f"{path}: was traced in training mode ({kind} is active), so its outputs are not those of the "
                    "deployed network; trace network.eval()"
                )


def screen(members: dict[str, bytes], path: Path) -> None:
    """Refuse an archive whose code or data names what touches files, other machines or C++ classes."""
    for name, content in members.items():
        found: str | None = None
        if name.startswith("code/") and name.endswith(".py"):
            code = content.decode("utf-8", "replace")
            if match := _TOUCHES.search(code):
                found = match.group()
            elif match := _OPERATORS.search(code):
                found = f"ops.{match.group(1)}"
        if found is None and (bound := _BOUND.search(content)):
            found = bound.group().decode()
        if found is not None:
            raise InputError(
                f"{path}: {name} names {found!r}, which could reach files, other machines or code outside the "
                "network, so it was not opened; save the network without it"
            )
