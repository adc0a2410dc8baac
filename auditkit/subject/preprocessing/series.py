"""Series: arrays [n, steps, channels] of measurements over time, channels scaled by their training mean and spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.subject.data import Split


class SeriesPreprocessing(BaseModel):
    """A series [n, T, C] (or [n, T]) to `(x - mean) / scale`, float32 [n, T, C]; mean and scale by channel.

    names: what the channels are called, `channel 1` and so on where left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["series"] = "series"
    array: str = "series"
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    steps: int = Field(ge=1)
    names: tuple[str, ...] = ()

    @property
    def modality(self) -> Literal["series"]:
        """What rows are."""
        return "series"

    @property
    def held(self) -> tuple[int, ...]:
        """The places of inputs that are no part of what is explained: none."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The one array the model sees."""
        return (self.array,)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels' names."""
        return self.names or tuple(f"channel {place}" for place in range(1, len(self.mean) + 1))

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The series of the given rows (all where None), on the CPU. Raises InputError where the shape is another."""
        import torch

        stored = _stored(split, self.array)
        series = stored if rows is None else stored[rows]
        wanted = (self.steps, len(self.mean))
        if series.shape[1:] != wanted:
            raise InputError(
                f"split {split.name!r}: series are {' x '.join(map(str, series.shape[1:]))} (steps x channels), the "
                f"model takes {' x '.join(map(str, wanted))}"
            )
        mean, scale = np.asarray(self.mean), np.asarray(self.scale)
        values = series.astype(np.float64)
        values = np.where(np.isfinite(values), values, mean)
        return (torch.from_numpy(((values - mean) / scale).astype(np.float32)),)

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: series that stay at the mean."""
        import torch

        return (torch.zeros(rows, self.steps, len(self.mean)),)

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {"steps": self.steps, "channels": len(self.mean)}

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Series with values that are not finite."""
        stored = _stored(split, self.array)
        if not np.issubdtype(stored.dtype, np.floating):
            return []
        bad = int((~np.isfinite(stored)).any(axis=(1, 2)).sum())
        return [(self.array, bad, "with values that are not finite, replaced by the mean")] if bad else []


def fit_series(split: Split, array: str = "series", names: tuple[str, ...] = ()) -> SeriesPreprocessing:
    """Each channel's mean and spread over all rows and steps of training. A constant channel keeps scale 1."""
    stored = _stored(split, array).astype(np.float64)
    if names and len(names) != stored.shape[2]:
        raise InputError(f"split {split.name!r}: {array!r} has {stored.shape[2]} channels, but {len(names)} names")
    stored = np.where(np.isfinite(stored), stored, np.nan)
    if np.isnan(stored).all(axis=(0, 1)).any():
        raise InputError(f"split {split.name!r}: a channel of {array!r} has no finite value; leave it out")
    mean, spread = np.nanmean(stored, axis=(0, 1)), np.nanstd(stored, axis=(0, 1))
    scale = np.where(spread > 0, spread, 1.0)
    return SeriesPreprocessing(
        array=array, mean=tuple(mean.tolist()), scale=tuple(scale.tolist()), steps=stored.shape[1], names=names
    )


def _stored(split: Split, name: str) -> np.ndarray:
    if name not in split.arrays:
        raise InputError(f"split {split.name!r} ({split.origin or 'in memory'}) has no array {name!r}")
    stored = split.arrays[name]
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    if stored.ndim != 3:
        raise InputError(
            f"split {split.name!r}: {name!r} must be series [n, steps] or [n, steps, channels], found shape "
            f"{stored.shape}"
        )
    return stored
