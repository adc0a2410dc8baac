"""How unlikely a table's row is by itself, before the model: minus twice the log-likelihood of a simple density.

Numbers follow one Gaussian with a shrunken covariance (their squared Mahalanobis distance, see `gaussian`); each
category column is independent of the rest and has its training frequencies, one pseudo count for every code, so that a
category never seen in training is rare and not impossible: -2 log frequency. It needs no model, so it notices gross
errors that the model turns into confident answers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import Detector, Fitted, NotApplicableError
from auditkit.ood.gaussian import fit_gaussian
from auditkit.ood.reference import Reference, TableInputs


def table_inputs(reference: Reference) -> TableInputs:
    """How the table enters the model, or NotApplicableError for anything but a table."""
    if reference.inputs is None:
        raise NotApplicableError("its inputs are no table of columns")
    return reference.inputs


def log_frequencies(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """log of each code's training frequency, with one pseudo count a code.

    >>> np.exp(log_frequencies(np.array([0, 8]))).round(3).tolist()
    [0.1, 0.9]
    """
    return np.log((counts + 1.0) / (counts.sum() + len(counts)))


def _fit(reference: Reference) -> Fitted:
    table = table_inputs(reference)
    numbers = reference.numbers
    gaussian = None
    if numbers is not None:
        gaussian = fit_gaussian(numbers.within, numbers.rows, numbers.means, reference.device)
    tables = [torch.from_numpy(log_frequencies(counts)).to(reference.device) for counts in reference.counts]

    def score(observation: Observation) -> Tensor:
        total = torch.zeros(len(observation.rows), dtype=torch.float64, device=observation.logits.device)
        if gaussian is not None and (values := table.numbers(observation.inputs)) is not None:
            total = total + gaussian.distances(values)[:, 0]
        if (codes := table.categories(observation.inputs)) is not None:
            for frequencies, column in zip(tables, codes.T, strict=True):
                total = total - 2 * frequencies[column]
        return total

    return Fitted(score, {} if gaussian is None else gaussian.facts)


DETECTOR = Detector(
    name="input_mahalanobis",
    title="input density",
    sees="inputs",
    valid_for="tables; needs no model",
    source="Mahalanobis 1936; Chen et al. 2010 for the shrinkage",
    fit=_fit,
)
