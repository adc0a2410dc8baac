"""Int8: a network whose linear and LSTM layers multiply 8-bit integers (dynamic quantisation).

Each row of a weight matrix has one scale, found once; each row of an input has one, found as it passes:

    scale = max |x| / 127      q = round(x / scale), an integer from -127 to 127      y = (q_x · q_w) scale_x scale_w

Products are summed as 32-bit integers, so they are exact: what is lost is lost in rounding, at most half a scale per
number (Jacob et al. 2018, arXiv:1712.05877; one scale per row: Krishnamoorthi 2018, arXiv:1806.08342, and, for the
input's rows, LLM.int8(), Dettmers et al. 2022, arXiv:2208.07339). A scale for each input row, not for the batch as
`torch.ao.quantization` has it, means that a row's answer does not depend on its company.

torch's own eager quantisation (`torch.ao.quantization.quantize_dynamic`) and its quantised tensors are being removed;
here weights are plain int8 tensors, so that they have a digest and go into safetensors, and `torch._int_mm` multiplies
them. That is fast on the CPU alone; elsewhere the same integers are multiplied in float64, exactly and slowly.
Convolutions, embeddings, normalisation and attention blocks that torch fuses stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NO_GRADIENTS = "an int8 model rounds its inputs to integers, which have no gradient"
FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
"""Blocks that reach into their linear layers' weights, so that these cannot be replaced."""
MOST = 127


def quantised(values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [n, width] as int8 [n, width] and scales float32 [n, 1], so that `integers * scales` is near the values.

    A row that is not finite has a scale that is not finite, and so gives no number that looks like one.

    >>> integers, scales = quantised(torch.tensor([[1.0, -0.5], [0.0, 0.0]]))
    >>> integers.tolist()
    [[127, -64], [0, 0]]
    """
    values = values.float()
    scales = values.abs().amax(dim=1, keepdim=True) / MOST
    safe = torch.where((scales > 0) & torch.isfinite(scales), scales, torch.ones_like(scales))
    integers = torch.nan_to_num(values / safe, nan=0.0, posinf=0.0, neginf=0.0).round().clamp(-MOST, MOST)
    return integers.to(torch.int8), scales


def products(rows: Tensor, weights: Tensor) -> Tensor:
    """int8 [n, width] times int8 [out, width] transposed: exact sums, [n, out]."""
    if rows.device.type == "cpu":
        return torch._int_mm(rows, weights.t())
    return rows.double() @ weights.double().t()


class Int8Linear(nn.Module):
    """`nn.Linear` with int8 weights: `[..., in] -> [..., out]` float32.

    >>> layer = nn.Linear(8, 4)
    >>> rows = torch.randn(5, 8)
    >>> bool((Int8Linear(layer.weight, layer.bias)(rows) - layer(rows)).abs().max() < 0.1)
    True
    """

    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        integers, scales = quantised(weight.detach())
        self.out_features, self.in_features = weight.shape
        self.weight_int8 = nn.Parameter(integers, requires_grad=False)
        self.scale = nn.Parameter(scales[:, 0].clone(), requires_grad=False)
        kept = None if bias is None else nn.Parameter(bias.detach().float().clone(), requires_grad=False)
        self.register_parameter("bias", kept)

    def forward(self, inputs: Tensor) -> Tensor:
        """Rows are all dimensions but the last."""
        integers, scales = quantised(inputs.reshape(-1, self.in_features))
        output = products(integers, self.weight_int8).float() * scales * self.scale
        output = output if self.bias is None else output + self.bias
        return output.reshape(*inputs.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """What is printed of it."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Int8LSTM(nn.Module):
    """`nn.LSTM` with int8 weights; states and gates stay float32. Tensors only, no packed sequences, no projection.

    Time steps run one by one in Python, where torch's own LSTM runs them in one call: smaller, but slower.

    >>> whole = nn.LSTM(4, 8, num_layers=2, bidirectional=True, batch_first=True).eval()
    >>> rows = torch.randn(3, 5, 4)
    >>> bool((Int8LSTM(whole)(rows)[0] - whole(rows)[0]).abs().max() < 0.05)
    True
    """

    def __init__(self, whole: nn.LSTM) -> None:
        super().__init__()
        self.batch_first, self.directions = whole.batch_first, 2 if whole.bidirectional else 1
        self.hidden_size, self.num_layers = whole.hidden_size, whole.num_layers
        inputs, states = [], []
        for layer in range(whole.num_layers):
            for ending in ("", "_reverse")[: self.directions]:
                of = {name: getattr(whole, f"{name}_l{layer}{ending}") for name in ("weight_ih", "weight_hh")}
                bias = None
                if whole.bias:
                    bias = getattr(whole, f"bias_ih_l{layer}{ending}") + getattr(whole, f"bias_hh_l{layer}{ending}")
                inputs.append(Int8Linear(of["weight_ih"], bias))
                states.append(Int8Linear(of["weight_hh"]))
        self.inputs, self.states = nn.ModuleList(inputs), nn.ModuleList(states)

    def forward(self, rows: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As nn.LSTM: outputs, and the last hidden and cell states [layers × directions, n, hidden]."""
        steps = rows.transpose(0, 1) if self.batch_first else rows
        none = steps.new_zeros(len(self.inputs), steps.shape[1], self.hidden_size, dtype=torch.float32)
        first, cells = (none, none) if state is None else state
        last: list[tuple[Tensor, Tensor]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                place = layer * self.directions + direction
                output, ends = self._run(place, steps, direction == 1, first[place], cells[place])
                outputs.append(output)
                last.append(ends)
            steps = torch.cat(outputs, dim=2)
        hidden, cell = (torch.stack([ends[part] for ends in last]) for part in (0, 1))
        return steps.transpose(0, 1) if self.batch_first else steps, (hidden, cell)

    def _run(
        self, place: int, steps: Tensor, backwards: bool, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        known, order = self.inputs[place](steps), range(len(steps))
        outputs: dict[int, Tensor] = {}
        for at in reversed(order) if backwards else order:
            let_in, forget, new, out = (known[at] + self.states[place](hidden)).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + let_in.sigmoid() * new.tanh()
            hidden = out.sigmoid() * cell.tanh()
            outputs[at] = hidden
        return torch.stack([outputs[at] for at in order]), (hidden, cell)


def to_int8(network: nn.Module) -> list[str]:
    """Replace linear and LSTM layers in place; the dotted names of those that were.

    >>> to_int8(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)))
    ['0', '2']
    """
    replaced = []
    for name, module in list(network.named_modules()):
        if isinstance(module, FUSED):
            continue
        for part, child in list(module.named_children()):
            new: nn.Module | None = None
            if type(child) is nn.Linear:
                new = Int8Linear(child.weight, child.bias)
            elif type(child) is nn.LSTM and not child.proj_size:
                new = Int8LSTM(child)
            if new is not None:
                setattr(module, part, new.train(child.training))
                replaced.append(f"{name}.{part}".lstrip("."))
    network.__dict__["limits"] = {**getattr(network, "limits", {}), "gradients": NO_GRADIENTS}
    return replaced


class Int8(nn.Module):
    """The network of another architecture with int8 layers: how a bundle builds it before its weights are loaded.

    of: the architecture's import path, auditkit's own only. arguments: what it is built with. What comes out is that
    network itself, so that its layers keep their names.

    >>> network = Int8("auditkit.training.architectures.mlp:MLP", {"numeric": 2, "categories": [], "classes": 2})
    >>> type(network).__name__, type(network.head).__name__
    ('MLP', 'Int8Linear')
    """

    def __new__(cls, of: str, arguments: dict[str, Any]) -> nn.Module:  # type: ignore[misc]
        """Build and convert."""
        from auditkit.training.architectures.bfloat16 import own_network

        network = own_network(of, arguments)
        to_int8(network)
        return network
