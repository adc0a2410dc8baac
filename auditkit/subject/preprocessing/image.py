"""Images: arrays [n, C, H, W], brought to one size where that is asked for, and scaled.

Resizing smooths (antialiasing, as Pillow does), and whole numbers stay whole numbers, so that a picture is what the
network's own image processor would have made of it, up to one level of grey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.subject.data import Split


class Resize(BaseModel):
    """How images of any size become those that the model takes; of what is then larger, the middle is kept.

    size: height and width in pixels, or the length of the shorter side, which keeps the picture's proportions; None
    where nothing is resized and the middle is kept alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: tuple[PositiveInt, PositiveInt] | PositiveInt | None
    how: Literal["nearest", "bilinear", "bicubic"] = "bilinear"

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing.

        >>> Resize(size=10).sides(20, 31), Resize(size=(8, 8)).sides(20, 31)
        ((10, 15), (8, 8))
        """
        if self.size is None or isinstance(self.size, tuple):
            return self.size or (height, width)
        long = int(self.size * max(height, width) / min(height, width))
        return (self.size, long) if height <= width else (long, self.size)


class ImagePreprocessing(BaseModel):
    """An image array [n, C, H, W] (or [n, H, W]) to `(x / divisor - mean) / scale`, float32 [n, C, H, W].

    mean, scale: one number, or one for each channel. shape: what the model takes; without `resize` images must have it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["image"] = "image"
    array: str = "images"
    divisor: float = Field(1.0, gt=0)
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    shape: tuple[int, int, int]
    resize: Resize | None = None

    @model_validator(mode="after")
    def _each_channel(self) -> ImagePreprocessing:
        for given in (self.mean, self.scale):
            if isinstance(given, tuple) and len(given) != self.shape[0]:
                raise ValueError(f"mean and scale are one number or one for each of the {self.shape[0]} channels")
        if not np.min(self.scale) > 0:
            raise ValueError("scale must be greater than 0")
        return self

    @property
    def modality(self) -> Literal["image"]:
        """What rows are."""
        return "image"

    @property
    def held(self) -> tuple[int, ...]:
        """The places of inputs that are no part of what is explained: none."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The one array the model sees."""
        return (self.array,)

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The images of the given rows (all where None), on the CPU. Raises InputError where the shape is another."""
        import torch

        if self.array not in split.arrays:
            raise InputError(f"split {split.name!r} ({split.origin or 'in memory'}) has no array {self.array!r}")
        stored = split.arrays[self.array]
        images = stored if rows is None else stored[rows]
        images = images[:, None] if images.ndim == 3 else images
        images = self._resized(images)
        if images.shape[1:] != self.shape:
            raise InputError(
                f"split {split.name!r}: images are {'x'.join(map(str, images.shape[1:]))} "
                f"(channels x height x width), the model takes {'x'.join(map(str, self.shape))}"
            )
        values, mean = images.astype(np.float64), _by_channel(self.mean)
        values = np.where(np.isfinite(values), values / self.divisor, mean)
        return (torch.from_numpy(((values - mean) / _by_channel(self.scale)).astype(np.float32)),)

    def restored(self, encoded: np.ndarray) -> np.ndarray:
        """Encoded images [n, C, H, W] as they were before mean and scale."""
        return np.asarray(encoded * _by_channel(self.scale) + _by_channel(self.mean))

    def _resized(self, images: np.ndarray) -> np.ndarray:
        """Images brought to the model's height and width, where that was asked for."""
        if self.resize is None or images.shape[1] != self.shape[0]:
            return images
        import torch
        from torch.nn.functional import interpolate

        height, width = self.resize.sides(*images.shape[2:])
        if (height, width) != images.shape[2:]:
            whole = torch.from_numpy(np.ascontiguousarray(images if images.dtype == np.uint8 else images.astype("f4")))
            if self.resize.how == "nearest":
                whole = interpolate(whole, (height, width), mode="nearest-exact")
            else:
                whole = interpolate(whole, (height, width), mode=self.resize.how, antialias=True, align_corners=False)
            images = whole.numpy()
        top, left = (height - self.shape[1]) // 2, (width - self.shape[2]) // 2
        if top < 0 or left < 0:
            return images
        return images[:, :, top : top + self.shape[1], left : left + self.shape[2]]

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: grey pictures."""
        import torch

        return (torch.zeros(rows, *self.shape),)

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {"shape": list(self.shape)}

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Images with values that are not finite, and such as seem to have been divided already."""
        stored = split.arrays[self.array]
        if not np.issubdtype(stored.dtype, np.floating):
            return []
        finite = np.isfinite(stored)
        found = []
        if bad := int((~finite).reshape(len(stored), -1).any(axis=1).sum()):
            found.append((self.array, bad, "with values that are not finite, replaced by the mean"))
        if self.divisor > 1 and 0 <= stored.min(where=finite, initial=0) < stored.max(where=finite, initial=0) <= 1:
            found.append((self.array, len(stored), f"between 0 and 1 already, and divided by {self.divisor:g} again"))
        return found


def _by_channel(given: float | tuple[float, ...]) -> np.ndarray:
    """One number, or one for each channel, ready to be combined with [n, C, H, W]."""
    return np.asarray(given, dtype=np.float64).reshape(-1, 1, 1)


def fit_images(split: Split, array: str = "images") -> ImagePreprocessing:
    """Scaling from the training images: mean 0 and spread 1 over all pixels."""
    if array not in split.arrays:
        raise InputError(f"split {split.name!r} ({split.origin or 'in memory'}) has no array {array!r}")
    images = split.arrays[array]
    images = images[:, None] if images.ndim == 3 else images
    if images.ndim != 4:
        raise InputError(
            f"split {split.name!r}: {array!r} must be images [n, height, width] or [n, channels, height, width], "
            f"found shape {images.shape}"
        )
    values = images[np.isfinite(images)].astype(np.float64)
    if values.size == 0:
        raise InputError(f"split {split.name!r}: {array!r} has no finite value")
    shape: tuple[int, int, int] = images.shape[1:]
    return ImagePreprocessing(array=array, mean=float(values.mean()), scale=float(values.std()) or 1.0, shape=shape)
