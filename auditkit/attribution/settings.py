"""What a method may be told: how exact it has to be, how many samples it may take, and where randomness begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.spec import AttributionSpec

SEED = 313
"""stream of the audit's seed from which methods draw"""


@dataclass(frozen=True, slots=True)
class Settings:
    """tolerance: the error, relative to what is attributed, at which a method that can measure its own stops (the
    completeness gap of Integrated Gradients, the largest standard error of sampled Shapley values). maximum_steps: of
    an integral. samples: noisy copies, coalitions or permutations, the method's own number where None. noise: standard
    deviation of noise, as a share of the range of each row's values. layer: for methods of one layer, the last
    convolution or the last layer where None. window: side of what is hidden at once where parts are pixels or steps.
    """

    tolerance: float = 0.01
    maximum_steps: int = 4096
    samples: int | None = None
    noise: float = 0.15
    layer: str | None = None
    window: int | None = None
    seed: int = 0

    @classmethod
    def of(cls, spec: AttributionSpec, seed: int) -> Settings:
        """The settings of an audit. seed: the audit's."""
        return cls(spec.tolerance, spec.maximum_steps, seed=seed + SEED)
