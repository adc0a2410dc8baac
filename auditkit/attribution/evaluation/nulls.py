"""Nulls: attributions that know nothing of what the model learned, and what they score.

random attribution  independent normal numbers: what an order without any meaning reaches
input magnitude     |x - b| summed over each part: what the input alone reaches, with no model at all (of ids, how far
                    their vectors are from the baseline's)
random model        the same method on a copy of the model with all weights drawn anew

A figure of an attribution means something only beside theirs: where the input's magnitude does as well, nobody needed
the method.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv:1810.03292; Clark et al., "XAI-TRIS",
2023, arXiv:2306.12816.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.attribution.explicands import Explicands

OWN = "attribution"
RANDOM, MAGNITUDE, MODEL = "random attribution", "input magnitude", "random model"
NULLS = (RANDOM, MAGNITUDE, MODEL)


def random_attribution(explicands: Explicands, draws: int, seed: int) -> Tensor:
    """float64 [draws, n, parts]: normal numbers; 0 at parts a row does not have."""
    shape = (draws, len(explicands), len(explicands.partition.parts))
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn = drawn.to(explicands.scores.device)
    return drawn if explicands.present is None else drawn * explicands.present


def input_magnitude(explicands: Explicands) -> Tensor:
    """float64 [n, parts]: how far each part of a row is from its baseline."""
    pairs = zip(explicands.given.points, explicands.baseline.points, strict=True)
    return explicands.partition.sums(tuple((x.double() - b.double()).abs() for x, b in pairs))
