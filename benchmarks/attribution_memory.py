"""How much memory Integrated Gradients need: the most that a process held at any moment, rows from 1,000 to 100,000.

Each line is a process of its own, which explains rows after a first few that do not count, so that code and libraries
are loaded. Counted is what the process held at most above what it held before; of that, the result (an attribution for
every number, in its own type and in float64) cannot be less. captum is asked for the same rows, at its defaults (all
steps of all rows at once) and in batches of 1,024.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.attribution_speed import MODELS

TITLE = "Memory of Integrated Gradients"
BOUND = 128
"""MiB that may be needed beside rows and result, however many rows there are"""
MIB = 2**20


def measured(kind: str, rows: int, side: str) -> dict[str, float]:
    """MiB of the rows, of the result, and held at most above what was held before. Call it in a fresh process."""
    net, few = MODELS[kind]()
    x = torch.randn((rows, *few.shape[1:]), generator=torch.Generator().manual_seed(0))
    explained(net, x[:64], side)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is that of the imports: forget it
    before = _held("VmRSS")
    found = explained(net, x, side)
    peak = _held("VmHWM")
    sizes = {"rows": _size((x,)), "result": _size(found), "most": peak - before}
    return {name: value / MIB for name, value in sizes.items()}


def explained(net: Any, x: Tensor, side: str) -> tuple[Tensor, ...]:
    """What is handed back, in all its parts."""
    if side == "auditkit":
        from auditkit.attribution import explain

        found = explain(net, x)
        assert isinstance(found.values, Tensor)
        assert found.recipe is not None
        return found.values, found.by_part, found.scores, found.recipe.contrast
    from captum.attr import IntegratedGradients

    with torch.no_grad():
        target = net(x[:1]).argmax(dim=1).expand(len(x))
    size = None if side == "captum, defaults" else 1024
    return (IntegratedGradients(net).attribute(x, target=target, internal_batch_size=size),)


def _held(what: str) -> float:
    """Bytes that the process holds now (VmRSS), or held at most (VmHWM), as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(what)).split()[1])


def _size(parts: tuple[Tensor, ...]) -> float:
    return sum(part.numel() * part.element_size() for part in parts)


def in_a_process(kind: str, rows: int, side: str) -> dict[str, float] | None:
    """`measured`, in a process of its own; None where it ran out of memory."""
    told = f"print(json.dumps(measured({kind!r}, {rows}, {side!r})))"
    asked = f"import json; from benchmarks.attribution_memory import measured; {told}"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def rows() -> list[dict[str, str]]:
    """All sizes and sides."""
    cases = [(kind, count, "auditkit") for kind in MODELS for count in (1_000, 10_000, 100_000)]
    cases += [(kind, 10_000, side) for kind in MODELS for side in ("captum, defaults", "captum, batches of 1,024")]
    shown = []
    for kind, count, side in cases:
        found = in_a_process(kind, count, side)
        line = {"what": f"{kind}, {count:,} rows", "side": side}
        if found is None:
            shown.append({**line, "rows": "", "result": "", "most held": "ran out of memory", "beside the result": ""})
            continue
        beside = found["most"] - found["result"]
        told = f"{beside:,.0f} MiB" + (f" (asked: at most {BOUND})" if side == "auditkit" else "")
        sizes = {name: f"{found[name]:,.0f} MiB" for name in ("rows", "result")}
        shown.append({**line, **sizes, "most held": f"{found['most']:,.0f} MiB", "beside the result": told})
    return shown
