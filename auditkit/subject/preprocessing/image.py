"""Images: arrays [n, C, H, W], scaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.subject.data import Split


class ImagePreprocessing(BaseModel):
    """An image array [n, C, H, W] (or [n, H, W]) to `(x / divisor - mean) / scale`, float32 [n, C, H, W]."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["image"] = "image"
    array: str = "images"
    divisor: float = Field(1.0, gt=0)
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    shape: tuple[int, int, int]

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
        if images.shape[1:] != self.shape:
            raise InputError(
                f"split {split.name!r}: images are {'x'.join(map(str, images.shape[1:]))} "
                f"(channels x height x width), the model takes {'x'.join(map(str, self.shape))}"
            )
        values = images.astype(np.float64)
        values = np.where(np.isfinite(values), values / self.divisor, self.mean)
        return (torch.from_numpy(((values - self.mean) / self.scale).astype(np.float32)),)

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: grey pictures."""
        import torch

        return (torch.zeros(rows, *self.shape),)

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {"shape": list(self.shape)}

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Images with values that are not finite."""
        stored = split.arrays[self.array]
        if not np.issubdtype(stored.dtype, np.floating):
            return []
        bad = int((~np.isfinite(stored)).reshape(len(stored), -1).any(axis=1).sum())
        return [(self.array, bad, "with values that are not finite, replaced by the mean")] if bad else []


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
