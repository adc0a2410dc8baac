"""How fairness is judged: the smallest group, the resamples, the confidence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """minimum_group: a rate over fewer rows is not judged. seed: what `numpy.random.default_rng` takes."""

    minimum_group: int = 30
    replicates: int = 10_000
    confidence: float = 0.95
    intersections: bool = True
    seed: tuple[int, ...] = (0,)
