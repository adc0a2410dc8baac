"""Attention weights, read from any network while it runs, and the gradient of the score with respect to them.

Torch computes attention in fused kernels that show no weights. While `Reading` is on, every call that attends is seen
on its way (`torch.overrides.TorchFunctionMode`): nothing is hooked or replaced on the model, and nothing is left.

* `scaled_dot_product_attention` is written out: softmax(q k' / sqrt(d)) v.
* `nn.MultiheadAttention`, also inside torch's own Transformer layers, is asked for its weights head by head.
* a softmax over the last axis whose result is multiplied with something is attention written by hand: that of
  transformers with `attn_implementation="eager"`, and auditkit's own.

Kernels that are called past torch's functions (scripted programs, FlashAttention's own) stay unseen. Attention from
each place of a row to each, [n, heads, places, places], is kept; any other (to another sequence, within windows) is
named in `other`, because a product of layers would miss it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from auditkit.attribution.recurrent import differentiating
from auditkit.engine.rows import Rows, Scorer
from auditkit.errors import InputError

PRODUCTS = frozenset({"matmul", "__matmul__", "bmm", "baddbmm", "einsum"})
HANDED_ON = {"dropout", "to", "type_as", "float", "half", "bfloat16", "contiguous", "view", "reshape", "flatten"}
KEPT = frozenset(HANDED_ON | {"mul", "__mul__", "div", "__truediv__", "masked_fill", "where"})
"""functions after which weights are weights still"""


@dataclass(frozen=True, slots=True)
class Call:
    """One layer's attention. weights: the tensor that the output was made from, [n, heads, places, places] as `shape`.

    sign: [n, places, numbers], that depend on each place's own input and on no other place's in this layer.
    """

    weights: Tensor
    shape: tuple[int, ...]
    sign: Tensor


class Reading(TorchFunctionMode):
    """See all attention of a forward pass over `rows` rows.

    >>> attention = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    >>> x = torch.zeros(3, 5, 4)
    >>> with torch.no_grad(), Reading(rows=3) as seen:
    ...     _ = attention(x, x, x, need_weights=False)
    >>> seen.calls[0].shape
    (3, 2, 5, 5)
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.calls: list[Call] = []
        self.other: list[str] = []
        self._soft: dict[int, tuple[Tensor, tuple[int, ...], Tensor]] = {}

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One call of torch's, seen on its way."""
        named = kwargs or {}
        name = getattr(func, "__name__", "").split(".")[0]
        if name == "scaled_dot_product_attention":
            return self._fused(*args, **named)
        if name == "multi_head_attention_forward":
            return self._many_headed(func, args, named)
        if name in PRODUCTS:
            self._multiplied(args)
        found = func(*args, **named)
        if name in ("softmax", "_softmax") and isinstance(found, Tensor):
            axis = args[1] if len(args) > 1 else named.get("dim")
            if found.ndim in (3, 4) and axis in (-1, found.ndim - 1):
                self._soft[id(found)] = found, tuple(found.shape), args[0] if args else named["input"]
        elif name in KEPT and isinstance(found, Tensor):
            for part in args:
                if id(part) in self._soft and found.numel() == part.numel():
                    self._soft[id(found)] = found, *self._soft[id(part)][1:]
        return found

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Scaled dot-product attention, written out. query, key, value: [n, heads, places, width]."""
        if enable_gqa:
            key, value = (part.repeat_interleave(query.shape[-3] // part.shape[-3], -3) for part in (key, value))
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None:
            scores = _masked(scores, attn_mask)
        weights = scores.softmax(dim=-1)
        if attn_mask is not None:  # a place that may look at none looks at none, as in the fused kernel
            blind = (scores == torch.finfo(scores.dtype).min).all(dim=-1, keepdim=True)
            weights = weights.masked_fill(blind, 0.0)
        self._keep(weights, tuple(weights.shape), query.transpose(1, 2) if query.ndim == 4 else query)
        return nn.functional.dropout(weights, dropout_p) @ value

    def _many_headed(self, func: Callable, args: Any, named: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """`multi_head_attention_forward`, asked for the weights of each head."""
        told = inspect.signature(func).bind(*args, **named)
        told.apply_defaults()
        wanted, mean = told.arguments["need_weights"], told.arguments["average_attn_weights"]
        told.arguments |= {"need_weights": True, "average_attn_weights": False}
        output, weights = func(*told.args, **told.kwargs)
        query = told.arguments["query"]
        sign = query.transpose(0, 1) if query.ndim == 3 else query[None]
        shape = tuple(weights.shape if weights.ndim == 4 else weights[None].shape)
        # what is handed out is a view; the output was made from what it is a view of
        self._keep(weights if weights._base is None else weights._base, shape, sign)
        return output, (weights.mean(dim=-3) if mean else weights) if wanted else None

    def _multiplied(self, args: Any) -> None:
        """Weights written by hand are attention once they are multiplied with something."""
        for part in [each for given in args for each in (given if isinstance(given, (list, tuple)) else (given,))]:
            if id(part) in self._soft:
                weights, shape, scores = self._soft[id(part)]
                for known in [key for key, (_, _, own) in self._soft.items() if own is scores]:
                    del self._soft[known]
                self._by_hand(weights, shape, scores)

    def _by_hand(self, weights: Tensor, shape: tuple[int, ...], scores: Tensor) -> None:
        square = shape[-1] == shape[-2]
        if len(shape) == 3:
            if not (square and shape[0] == self.rows):
                return  # a mixture's gates, say
            shape = (shape[0], 1, *shape[1:])
        sign = scores.diagonal(dim1=-2, dim2=-1).movedim(-1, 1) if square else scores
        self._keep(weights, shape, sign)

    def _keep(self, weights: Tensor, shape: tuple[int, ...], sign: Tensor) -> None:
        if len(shape) == 3:
            shape = (shape[0], 1, *shape[1:])
        if len(shape) != 4 or shape[0] != self.rows or shape[2] != shape[3]:
            self.other.append(str(list(shape)))
            return
        self.calls.append(Call(weights, shape, sign.reshape(shape[0], shape[2], -1)))


@dataclass(frozen=True, slots=True)
class Attention:
    """weights: [n, heads, places, places] of every layer, row q what place q looks at, in the order of the pass.

    slopes: as weights, the gradient of each row's score with respect to them. read: [n, places], adding up to 1 over
    places: where the last layer's output is read from (one place such as [CLS], or all that are averaged).
    """

    weights: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    read: Tensor


def attention_of(engine: Scorer, rows: Rows) -> Attention:
    """The attention of one batch of rows, from a pass forward and back; float64, detached."""
    leaves = tuple(part.detach().clone().requires_grad_(True) for part in rows.points)
    with differentiating(engine.model.module):
        with Reading(len(rows)) as seen:
            logits = engine.space.logits(tuple(leaf * 1.0 for leaf in leaves), rows.held)
        score = (logits * rows.contrast).sum()
        if not seen.calls:
            raise InputError("the model has no attention whose weights can be read")
        made = [call.weights for call in seen.calls]
        found = torch.autograd.grad(score, made, allow_unused=True)
    slopes = tuple(
        torch.zeros(call.shape, dtype=torch.float64, device=score.device)
        if part is None
        else part.detach().double().reshape(call.shape)
        for call, part in zip(seen.calls, found, strict=True)
    )
    weights = tuple(call.weights.detach().double().reshape(call.shape) for call in seen.calls)
    return Attention(weights, slopes, _read(slopes[-1]))


def _read(slopes: Tensor) -> Tensor:
    """Places of the last layer on which the score rests, in equal shares; all where it rests on none."""
    rests = (slopes != 0).any(dim=3).any(dim=1).double()
    rests = torch.where(rests.sum(dim=1, keepdim=True) > 0, rests, 1.0)
    return rests / rests.sum(dim=1, keepdim=True)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    low = torch.finfo(scores.dtype).min
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, low)
    return (scores + mask).clamp_min(low)
