"""ONNX's LSTM and GRU as torch's modules.

ONNX puts time first and keeps the gates in another order (LSTM: input, output, forget, cell; torch: input, forget,
cell, output. GRU: update, reset, hidden; torch: reset, update, hidden). The module takes and gives rows first, so that
hooks see rows; around it the axes are put as the graph has them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.subject.formats.onnx_graph import ObstacleError
from auditkit.subject.formats.onnx_network import Given, Made

GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""the places in ONNX's order of torch's gates"""


def recurrent(given: Given) -> Made:
    """An LSTM or GRU of one layer, in one direction or both, with the usual activations."""
    kind, attributes = given.kind, given.attributes
    weights, carried, biases = given.constant(1), given.constant(2), given.constant(3)
    if weights is None or carried is None or (given.has(3) and biases is None):
        raise ObstacleError(f"operator {kind} has weights that are computed")
    direction = attributes.get("direction", "forward")
    odd = [name for name in ("activations", "activation_alpha", "activation_beta", "clip") if name in attributes]
    if given.has(4) or given.has(7) or attributes.get("input_forget", 0) or odd or direction == "reverse":
        raise ObstacleError(f"operator {kind} is of a form that torch does not have")
    if kind == "GRU" and not attributes.get("linear_before_reset", 0):
        raise ObstacleError("operator GRU resets before its product, which torch does not")
    directions, _, width = carried.shape
    maker: Any = nn.LSTM if kind == "LSTM" else nn.GRU
    module = maker(
        weights.shape[2], width, batch_first=True, bidirectional=directions == 2, bias=biases is not None, device="meta"
    )
    gates = len(GATES[kind])
    if weights.shape[:2] != (directions, gates * width) or carried.shape[1:] != (gates * width, width):
        raise ObstacleError(f"operator {kind} has weights that do not fit")
    for place, suffix in enumerate(("", "_reverse")[:directions]):
        parts = {"weight_ih_l0": weights[place], "weight_hh_l0": carried[place]}
        if biases is not None:
            parts["bias_ih_l0"], parts["bias_hh_l0"] = biases[place].chunk(2)
        for name, part in parts.items():
            ordered = torch.cat([part.chunk(gates)[gate] for gate in GATES[kind]]).contiguous()
            setattr(module, f"{name}{suffix}", nn.Parameter(ordered))
    takes = (0, 5, 6) if kind == "LSTM" else (0, 5)
    call = partial(_run, rows_first=bool(attributes.get("layout", 0)), directions=directions)
    return Made(call, takes, module)


def _run(module: nn.Module, x: Tensor, *states: Tensor | None, rows_first: bool, directions: int) -> tuple[Tensor, ...]:
    """(outputs [time, directions, n, width], last states [directions, n, width] ...), or all with rows first."""
    x = x if rows_first else x.transpose(0, 1)
    starts = [_turned(one, rows_first) for one in states if one is not None]
    begun = tuple(starts) if len(states) == 2 else (starts[0] if starts else None)
    if len(states) == 2 and len(starts) == 1:
        raise ObstacleError("operator LSTM starts with one of its two states")
    made, last = module(x, begun) if starts else module(x)
    outputs = made.unflatten(-1, (directions, -1))
    ends = last if isinstance(last, tuple) else (last,)
    outputs = outputs if rows_first else outputs.permute(1, 2, 0, 3)
    return (outputs, *(_turned(one, rows_first) for one in ends))


def _turned(state: Tensor, rows_first: bool) -> Tensor:
    return state.transpose(0, 1).contiguous() if rows_first else state.contiguous()
