"""Autoencoders, convolutional and dense: networks that learn usual rows by heart and show what they cannot copy.

An encoder squeezes a row into a few numbers, its code, and a decoder makes the row again from these. Trained on usual
rows alone it copies usual rows well and others badly, so the error of the copy tells them apart. It is audited as the
detector it is used as: `forward` gives one logit for the class that is not usual,

    logit = (error - threshold) / scale

**Calibration.** `after_training` sets both on validation rows: `threshold` is their 95th percentile (the conformal one,
the ceil(0.95 (n + 1))-th smallest error), `scale` is such that the median row gets a probability of 5 %, that is
log(19) below the threshold. This fixes where the logit is 0 and how steep it is; as no unusual row was seen, its
probability is not calibrated, which the model says of itself (`caveats`). Nor is it a measure of doubt: the further
away a row is, the surer the network, so detectors that take a sure answer for a usual row are withheld (`lacks`).

Penultimate features are the code. The error of a number or pixel is measured by the loss it is trained with; that of
a category by half the squared distance of its one-hot vector (a frozen embedding, so that gradients reach it). The
error of a row is their mean. Source: Sakurada and Yairi 2014, MLSDA 4-11; Ruff et al. 2021, Proceedings of the IEEE
109(5), 756-795.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from auditkit.training.recipe import Recipe
    from auditkit.training.reconstruction import ReconstructionLearner

USUAL_SHARE = 0.95
"""the share of usual validation rows below the threshold; the median one gets 1 - USUAL_SHARE as its probability"""
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda copy, given: (copy - given) ** 2,
    "mae": lambda copy, given: (copy - given).abs(),
    "huber": lambda copy, given: functional.huber_loss(copy, given, reduction="none"),
    "bce": lambda copy, given: functional.binary_cross_entropy_with_logits(copy, given, reduction="none"),
}
"""Elementwise errors. `bce` reads pixels as shares of the way from the darkest to the brightest training pixel."""


class Autoencoder(nn.Module):
    """What both kinds share. A subclass sets `encoder` and `decoder` between `_joined` inputs and their copy."""

    one_class = True
    penultimate = "code"
    lacks: ClassVar[dict[str, str]] = {
        "scores": "the model is surer of itself the further a row is from usual ones, so a sure answer is no usual row"
    }
    caveats = (
        "The model was trained on usual rows alone: its probability grows with the reconstruction error, but no "
        "unusual row has calibrated it.",
    )
    encoder: nn.Module
    decoder: nn.Module
    threshold: Tensor
    scale: Tensor
    usual: Tensor
    span: Tensor

    def __init__(self, classes: int, loss: str) -> None:
        super().__init__()
        if classes != 2:
            raise ValueError(f"an autoencoder tells usual rows from others, two classes, not {classes}")
        if loss not in LOSSES:
            raise ValueError(f"there is no loss {loss!r}; choose one of {', '.join(LOSSES)}")
        self.loss = loss
        self.code = nn.Identity()
        self.register_buffer("threshold", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("usual", torch.tensor(0))
        self.register_buffer("span", torch.tensor([0.0, 1.0]))

    def forward(self, *inputs: Tensor) -> Tensor:
        """[n, 1]: the logit of the second class."""
        away = (self.errors(*inputs) - self.threshold) / self.scale
        return torch.where(self.usual == 0, away, -away)[:, None]

    @property
    def outlier(self) -> int:
        """The class of rows that are not usual."""
        return 1 - int(self.usual)

    def errors(self, *inputs: Tensor) -> Tensor:
        """The reconstruction error of each row [n]."""
        return self.part_errors(*inputs).flatten(1).mean(1)

    def part_errors(self, *inputs: Tensor) -> Tensor:
        """The error of each pixel [n, H, W], averaged over channels, or column [n, columns]."""
        given = self._joined(inputs)
        return self._by_part(self._measured(self._copied(given), given))

    def errors_of_nothing(self, *inputs: Tensor) -> Tensor:
        """The error of each row [n] were its copy all zeros; of pixels under `bce`, all half way."""
        given = self._joined(inputs)
        return self._by_part(self._measured(torch.zeros_like(given), given)).flatten(1).mean(1)

    def reconstruct(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The copies, in the form of the inputs: float as given, categories as codes."""
        return self._parted(self._values(self._copied(self._joined(inputs))))

    def learn_usual(self, inputs: tuple[Tensor, ...], label: int) -> None:
        """Take in, before training, which class is usual and the range of the training values."""
        self.usual.fill_(label)
        if self.loss == "bce":
            self.span.copy_(torch.stack([inputs[0].min(), inputs[0].max()]))

    def after_training(self, inputs: tuple[Tensor, ...]) -> None:
        """Set threshold and scale on encoded validation rows."""
        errors = self.errors(*inputs).double().sort().values
        place = min(len(errors), math.ceil(USUAL_SHARE * (len(errors) + 1))) - 1
        steep = (errors[place] - errors.median()) / math.log(USUAL_SHARE / (1 - USUAL_SHARE))
        self.threshold.fill_(float(errors[place]))
        self.scale.fill_(float(steep.clamp_min(1e-12)))

    def learner(self, recipe: Recipe, steps: int) -> ReconstructionLearner:
        """How it is trained."""
        from auditkit.training.reconstruction import ReconstructionLearner

        return ReconstructionLearner(self, recipe, steps)

    def _copied(self, given: Tensor) -> Tensor:
        made: Tensor = self.decoder(self.code(self.encoder(given)))
        return made

    def _measured(self, copied: Tensor, given: Tensor) -> Tensor:
        low, high = self.span
        if self.loss == "bce":
            given = ((given - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        return LOSSES[self.loss](copied, given)

    def _values(self, copied: Tensor) -> Tensor:
        low, high = self.span
        return low + (high - low) * copied.sigmoid() if self.loss == "bce" else copied

    def _joined(self, inputs: tuple[Tensor, ...]) -> Tensor:
        (images,) = inputs
        return images

    def _parted(self, copies: Tensor) -> tuple[Tensor, ...]:
        return (copies,)

    def _by_part(self, errors: Tensor) -> Tensor:
        return errors.mean(1)


class ConvolutionalAutoencoder(Autoencoder):
    """For images [n, C, H, W]: convolutions that halve the picture while it is at least 4 pixels wide, and back.

    widths: channels of the stages. code: numbers in the bottleneck.

    >>> network = ConvolutionalAutoencoder(shape=(1, 8, 8), classes=2, widths=[4], code=3).eval()
    >>> network(torch.zeros(5, 1, 8, 8)).shape, network.reconstruct(torch.zeros(5, 1, 8, 8))[0].shape
    (torch.Size([5, 1]), torch.Size([5, 1, 8, 8]))
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        widths: Sequence[int] = (16, 32),
        code: int = 16,
        loss: str = "mse",
    ) -> None:
        super().__init__(classes, loss)
        channels, size = shape[0], tuple(shape[1:])
        down: list[nn.Module] = []
        sizes, before = [size], channels
        for width in widths:
            stride = 2 if min(sizes[-1]) >= 4 else 1
            down += [nn.Conv2d(before, width, 3, stride=stride, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            sizes.append(tuple(-(-side // stride) for side in sizes[-1]))
            before = width
        flat = before * sizes[-1][0] * sizes[-1][1]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, code))
        up: list[nn.Module] = [nn.Linear(code, flat), nn.ReLU(), nn.Unflatten(1, (before, *sizes[-1]))]
        for place in reversed(range(len(widths))):
            width = widths[max(place - 1, 0)]
            up += [nn.Upsample(size=sizes[place]), nn.Conv2d(before, width, 3, padding=1)]
            up += [nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.decoder = nn.Sequential(*up, nn.Conv2d(before, channels, 3, padding=1))


class DenseAutoencoder(Autoencoder):
    """For tables `(numeric [n, F], categorical [n, C])`, or for images when `shape` is given.

    hidden: widths on the way to the code and, in reverse, back.

    >>> network = DenseAutoencoder(classes=2, numeric=2, categories=[4], hidden=[8], code=2).eval()
    >>> network.part_errors(torch.zeros(5, 2), torch.zeros(5, 1, dtype=torch.int64)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        classes: int,
        shape: Sequence[int] | None = None,
        numeric: int = 0,
        categories: Sequence[int] = (),
        hidden: Sequence[int] = (64,),
        code: int = 8,
        loss: str = "mse",
    ) -> None:
        super().__init__(classes, loss)
        if loss == "bce" and shape is None:
            raise ValueError("the loss 'bce' is for pixels, which have a darkest and a brightest value; choose another")
        self.numeric, self.categories, self.shape = numeric, list(categories), shape
        self.embeddings = nn.ModuleList(nn.Embedding.from_pretrained(torch.eye(codes)) for codes in categories)
        width = numeric + sum(categories) if shape is None else math.prod(shape)
        self.encoder = nn.Sequential(*([nn.Flatten()] if shape else []), *_dense([width, *hidden, code]))
        back: list[nn.Module] = _dense([code, *reversed(hidden), width])
        self.decoder = nn.Sequential(*back, *([nn.Unflatten(1, tuple(shape))] if shape else []))

    def _joined(self, inputs: tuple[Tensor, ...]) -> Tensor:
        if self.shape is not None:
            return super()._joined(inputs)
        widths = [width for width in (self.numeric, len(self.categories)) if width]
        if [part.shape[1] for part in inputs] != widths:
            raise ValueError(f"expected inputs of {widths} columns, got {[tuple(part.shape) for part in inputs]}")
        parts = [inputs[0]] if self.numeric else []
        parts += [embedding(inputs[-1][:, place]) for place, embedding in enumerate(self.embeddings)]
        return torch.cat(parts, dim=1)

    def _groups(self, values: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Numbers [n, F], and the one-hot positions of each category [n, codes]."""
        numbers, *groups = values.split([self.numeric, *self.categories], dim=1)
        return numbers, tuple(groups)

    def _parted(self, copies: Tensor) -> tuple[Tensor, ...]:
        if self.shape is not None:
            return (copies,)
        numbers, groups = self._groups(copies)
        codes = [torch.stack([group.argmax(1) for group in groups], dim=1)] if groups else []
        return (*([numbers] if self.numeric else []), *codes)

    def _measured(self, copied: Tensor, given: Tensor) -> Tensor:
        if self.shape is not None:
            return super()._measured(copied, given)
        ours, theirs = copied[:, : self.numeric], given[:, : self.numeric]
        categories = 0.5 * (copied[:, self.numeric :] - given[:, self.numeric :]) ** 2
        return torch.cat([LOSSES[self.loss](ours, theirs), categories], dim=1)

    def _by_part(self, errors: Tensor) -> Tensor:
        if self.shape is not None:
            return super()._by_part(errors)
        numbers, groups = self._groups(errors)
        return torch.cat([numbers, *(group.sum(1, keepdim=True) for group in groups)], dim=1)


def _dense(widths: Sequence[int]) -> list[nn.Module]:
    """Linear layers through these widths with a ReLU between each two."""
    made: list[nn.Module] = []
    for before, after in pairwise(widths):
        made += [nn.Linear(before, after), nn.ReLU()]
    return made[:-1]
