"""A small generative adversarial network for images: a generator, and the discriminator that taught it.

The generator makes pictures out of noise, the discriminator tells them from real ones, and each learns against the
other (Goodfellow et al. 2014, arXiv:1406.2661), both of convolutions (Radford et al. 2016, arXiv:1511.06434). Nearest
upsampling takes the place of transposed convolutions, which leave a checkerboard (Odena et al. 2016, Distill), and the
discriminator has no batch normalisation, so that each of its answers is about one picture alone.

What is audited as a classifier is the discriminator: `forward` gives its logit for the real class. As a detector it
calls unusual what looks generated. What the generator makes, `generate` returns and the audit judges by itself.
Trained on real rows alone (`one_class`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from auditkit.training.adversarial import AdversarialLearner
    from auditkit.training.recipe import Recipe

SLOPE = 0.2


class GAN(nn.Module):
    """`images [n, C, H, W] -> the discriminator's logit of the second class [n, 1]`.

    noise: numbers a picture is made of. widths: channels of the discriminator's stages, the generator's in reverse.
    smoothing: how far the label of real rows is below 1 while the discriminator learns (one-sided label smoothing,
    Salimans et al. 2016). beta: the first decay rate of Adam.

    >>> network = GAN(shape=(1, 8, 8), classes=2, widths=[8, 16]).eval()
    >>> network(torch.zeros(5, 1, 8, 8)).shape, network.generate(3, seed=0).shape
    (torch.Size([5, 1]), torch.Size([3, 1, 8, 8]))
    """

    one_class = True
    lacks: ClassVar[dict[str, str]] = {
        "scores": "the discriminator is as sure of a generated row as of a real one, so a sure answer is no usual row"
    }
    caveats = (
        "The model is a discriminator: it learned to tell real rows from those of its own generator, and no other "
        "kind of unreal row.",
    )

    real: Tensor
    span: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        noise: int = 32,
        widths: Sequence[int] = (32, 64),
        smoothing: float = 0.1,
        beta: float = 0.5,
    ) -> None:
        super().__init__()
        if classes != 2:
            raise ValueError(f"a discriminator tells generated rows from real ones, two classes, not {classes}")
        self.noise, self.smoothing, self.beta = noise, smoothing, beta
        channels, sizes = shape[0], [tuple(shape[1:])]
        down: list[nn.Module] = []
        before = channels
        for width in widths:
            stride = 2 if min(sizes[-1]) >= 4 else 1
            down += [nn.Conv2d(before, width, 3, stride=stride, padding=1), nn.LeakyReLU(SLOPE)]
            sizes.append(tuple(-(-side // stride) for side in sizes[-1]))
            before = width
        flat = before * sizes[-1][0] * sizes[-1][1]
        up: list[nn.Module] = [nn.Linear(noise, flat), nn.BatchNorm1d(flat), nn.ReLU()]
        up += [nn.Unflatten(1, (before, *sizes[-1]))]
        for place in reversed(range(len(widths))):
            width = widths[max(place - 1, 0)]
            up += [nn.Upsample(size=sizes[place]), nn.Conv2d(before, width, 3, padding=1)]
            up += [nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.generator = nn.Sequential(*up, nn.Conv2d(before, channels, 3, padding=1), nn.Sigmoid())
        self.discriminator = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, 1))
        self.register_buffer("real", torch.tensor(1))
        self.register_buffer("span", torch.tensor([0.0, 1.0]))

    def forward(self, images: Tensor) -> Tensor:
        """[n, 1]: the logit of the second class."""
        found: Tensor = self.discriminator(images)
        return torch.where(self.real == 1, found, -found)

    @property
    def outlier(self) -> int:
        """The class of rows that are not real."""
        return 1 - int(self.real)

    def made_of(self, noise: Tensor) -> Tensor:
        """Pictures [n, C, H, W] out of noise [n, noise], in the range of the training pixels."""
        low, high = self.span
        return low + (high - low) * self.generator(noise)

    def draw(self, n: int, source: torch.Generator | None = None) -> Tensor:
        """Noise [n, noise] on the network's device, the same on every device for the same source."""
        return torch.randn(n, self.noise, generator=source).to(self.span.device)

    def generate(self, n: int, seed: int) -> Tensor:
        """n pictures as encoded inputs, the same for the same seed. Call it in eval mode."""
        return self.made_of(self.draw(n, torch.Generator().manual_seed(seed)))

    def learn_real(self, images: Tensor, label: int) -> None:
        """Take in, before training, which class is real and the range of its pixels."""
        self.real.fill_(label)
        self.span.copy_(torch.stack([images.min(), images.max()]))

    def learner(self, recipe: Recipe, steps: int) -> AdversarialLearner:
        """How it is trained."""
        from auditkit.training.adversarial import AdversarialLearner

        return AdversarialLearner(self, recipe, steps)
