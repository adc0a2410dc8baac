"""The most unusual single value of a table's row, on the scale of standard deviations.

A number counts |x - mean| / standard deviation over the training rows; a category the z of a two-sided normal tail as
rare as it was in training (with one pseudo count a code), so a category never seen in 30,000 rows counts about 4. The
column that made the score is kept, so that a flagged row can be explained.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted
from auditkit.ood.input_mahalanobis import log_frequencies, table_inputs
from auditkit.ood.reference import Reference


def rarity(log_frequency: Tensor) -> Tensor:
    """The z whose two-sided normal tail has this probability, float64.

    >>> rarity(torch.tensor([0.05]).log()).round(decimals=2).tolist()
    [1.96]
    """
    return -torch.special.ndtri(log_frequency.double().exp() / 2)


def _fit(reference: Reference) -> Fitted:
    table = table_inputs(reference)
    device = reference.device
    mean = spread = torch.zeros(0, device=device)
    if reference.numbers is not None:
        variance = np.diag(reference.numbers.within) / reference.numbers.rows
        constant = variance <= 1e-12 * np.maximum(1.0, reference.numbers.mean**2)
        mean = torch.from_numpy(reference.numbers.mean).to(device)
        spread = torch.from_numpy(np.where(constant, 1.0, np.sqrt(variance))).to(device)
    rare = [rarity(torch.from_numpy(log_frequencies(counts))).to(device) for counts in reference.counts]

    def unusual(observation: Observation) -> Tensor:
        parts = []
        if (values := table.numbers(observation.inputs)) is not None:
            parts.append((values.double() - mean).abs() / spread)
        if (codes := table.categories(observation.inputs)) is not None:
            parts += [z[column][:, None] for z, column in zip(rare, codes.T, strict=True)]
        return torch.cat(parts, dim=1)

    return Fitted(
        score=lambda observation: unusual(observation).amax(dim=1),
        blame=lambda observation: unusual(observation).argmax(dim=1),
        columns=table.columns,
    )


DETECTOR = Detector(
    name="input_max_z",
    title="most unusual single value",
    sees="inputs",
    valid_for="tables; needs no model",
    source="a z-score per column",
    fit=_fit,
)
