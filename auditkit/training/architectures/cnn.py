"""A small residual convolutional network for images of any size.

A convolution, then stages of one residual block each (He et al. 2016, arXiv:1512.03385), halving the picture between
stages while it is at least 4 pixels wide, then global average pooling and a linear head. The last
convolution, `stages.<n>.second`, is what Grad-CAM looks at. Every nonlinearity is a module of its own, used once.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        plain = before == after and stride == 1
        self.shortcut = nn.Identity() if plain else nn.Conv2d(before, after, 1, stride=stride, bias=False)
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """[n, before, H, W] to [n, after, H / stride, W / stride]."""
        inner = self.norm2(self.second(self.relu1(self.norm1(self.first(maps)))))
        return self.relu2(inner + self.shortcut(maps))


class CNN(nn.Module):
    """`images [n, C, H, W] -> logits [n, classes]`.

    >>> import torch
    >>> CNN(shape=(1, 8, 8), classes=10, widths=[8, 16]).eval()(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self, shape: Sequence[int], classes: int, widths: Sequence[int] = (32, 64), dropout: float = 0.1
    ) -> None:
        super().__init__()
        channels, side = shape[0], min(shape[1:])
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        stages, before = [], widths[0]
        for place, width in enumerate(widths):
            stride = 2 if place and side >= 4 else 1
            side //= stride
            stages.append(Residual(before, width, stride))
            before = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes]."""
        maps = self.stages(self.stem(images))
        return self.head(self.dropout(self.flatten(self.pool(maps))))
