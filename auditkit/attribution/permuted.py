"""Permutation importance: how much worse a model answers when a part of each row is another row's.

    I_p = E[ loss(f(row i with part p of row j), label i) ] - E[ loss(f(row i), label i) ],   i ≠ j

It is a property of the model and the data together, over all rows; nothing is explained of any single one. No gradient
is needed, so it works for any function. Rows stand in a circle in random order and each takes the part from the next,
so that no row keeps its own; several circles are drawn.

**Intervals** cover both the rows that happen to be in the data and the circles that happen to be drawn: a row counts by
what its own loss rises and by what its part does to the row that takes it (the projection of a statistic of pairs on
single rows), and Student's t is taken over rows. With few circles they err on the wide side.

**Read it with care where parts are correlated.** What a column says that another says too is still there when it alone
is permuted, so that both may look unimportant; and rows are made that do not occur (a pregnant man), on which a model
may answer anything. Give such columns a common group; `companion` names the one that each is most correlated with, by
rank. A high value says that the model uses the column, not that the
column causes anything.

Source: Breiman, "Random Forests", Machine Learning 45, 2001; Fisher, Rudin, Dominici, "All Models are Wrong, but Many
are Useful", JMLR 20, 2019, arXiv:1801.01489 (statistic and its interval); Hooker, Mentch, Zhou, "Unrestricted
permutation forces extrapolation", Statistics and Computing 31, 2021, arXiv:1905.03151 (the care).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auditkit.attribution.asking import Asker, Inputs, asked, rows_of
from auditkit.attribution.row_losses import Loss, labels_of, loss_of
from auditkit.errors import InputError

Floats = npt.NDArray[np.float64]
COMPARED = 1000
"""parts whose correlations are looked at"""


@dataclass(frozen=True, slots=True)
class PermutationImportance:
    """How much the mean loss rises for each part.

    values, standard_error, lower, upper: float64 [parts], in the loss's unit. by_repeat: float64 [repeats, parts].
    parts: their names. metric: the loss by name. unpermuted: its mean as the rows are. confidence: of the intervals,
    each by itself. rows, evaluations: rows of data, and rows sent through the model. companion, correlation: of parts
    that are single numbers, the part with the largest rank correlation (Spearman's) by size, and that correlation,
    float64 [parts]; None for ids, groups and more than 1,000 parts.
    """

    values: Floats
    standard_error: Floats
    lower: Floats
    upper: Floats
    by_repeat: Floats
    parts: tuple[str, ...]
    metric: str
    unpermuted: float
    confidence: float
    rows: int
    evaluations: int
    companion: tuple[str, ...] | None = None
    correlation: Floats | None = None

    def ranked(self) -> list[str]:
        """The parts' names, the most important first."""
        return [self.parts[place] for place in np.argsort(-self.values, kind="stable")]


def permutation_importance(
    model: nn.Module | Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    labels: Tensor | npt.NDArray[Any] | Sequence[float],
    *,
    metric: Loss | None = None,
    groups: Tensor | Sequence[Tensor] | None = None,
    names: Sequence[str] | None = None,
    repeats: int = 10,
    confidence: float = 0.95,
    batch_size: int | None = None,
    seed: int = 0,
) -> PermutationImportance:
    """The importance of every number or id of a row, or of every group of them, with intervals.

    model: a module, or any callable from tensors to outputs [n] or [n, outputs]. inputs: one tensor [n, ...] or
    several, numbers or ids. labels: [n], classes or numbers. metric: see `row_losses`; the cross-entropy of integer
    labels and the squared error of others where None. groups: integer tensors, shaped as one row of the inputs, that
    say which numbers are permuted together. names: of the parts. repeats: circles of rows.

    Raises InputError for fewer than two rows, labels that do not fit, groups of another shape.

    Source: Fisher, Rudin, Dominici, JMLR 20, 2019, arXiv:1801.01489.

    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> found = permutation_importance(lambda x: 2 * x[:, 0] + x[:, 1], x, 2 * x[:, 0] + x[:, 1])
    >>> found.ranked(), found.values[2].item()
    (['0', '1', '2'], 0.0)
    """
    given = rows_of(inputs, "inputs")
    n = len(given[0])
    if n < 2 or repeats < 1:
        raise InputError(f"permutation importance needs two rows and one repeat or more, got {n} and {repeats}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: must lie between 0 and 1, got {confidence}")
    truth = labels_of(labels, n, given[0].device, "labels")
    members, parts = _members(given, groups, names)
    name, loss = loss_of(metric, truth)
    donors = _circles(n, repeats, seed)
    with asked(model, given, batch_size) as asker:
        before = loss(asker.outputs(given), truth).double()
        if not bool(torch.isfinite(before).all()):
            raise InputError(f"the {name} of some rows is not a finite number as they are, so no rise can be told")
        rises = _rises(asker, given, truth, loss, before, members, len(parts), donors)
        evaluations = asker.forwards
    taking, giving, by_repeat = rises
    values, error, away = _interval(taking / repeats, giving / repeats, confidence)
    companion, correlation = _companions(given, members, parts) or (None, None)
    return PermutationImportance(
        values=values,
        standard_error=error,
        lower=values - away,
        upper=values + away,
        by_repeat=by_repeat,
        parts=parts,
        metric=name,
        unpermuted=float(before.mean()),
        confidence=confidence,
        rows=n,
        evaluations=evaluations,
        companion=companion,
        correlation=correlation,
    )


def _interval(taking: Floats, giving: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    """The mean rise, its standard error and half the width of its interval, float64 [parts] each.

    taking, giving: float64 [parts, n], each row's mean rise when it takes a part, and when it is taken from.
    """
    from scipy.special import stdtrit

    n = taking.shape[1]
    error = (taking + giving).std(axis=1, ddof=1) / np.sqrt(n)
    return taking.mean(axis=1), error, float(stdtrit(n - 1, 0.5 + confidence / 2)) * error


def _companions(
    given: Inputs, members: tuple[Tensor, ...], parts: tuple[str, ...]
) -> tuple[tuple[str, ...], Floats] | None:
    """Of each part the one it is most correlated with by rank, and how much; None where parts are no single numbers."""
    from scipy.stats import rankdata

    single = sum(part.numel() for part in members) == len(parts)
    if not single or not 2 <= len(parts) <= COMPARED or not all(part.is_floating_point() for part in given):
        return None
    order = torch.cat([part.flatten() for part in members]).argsort().cpu()
    columns = torch.cat([part.detach().reshape(len(part), -1).double().cpu() for part in given], dim=1)[:, order]
    ranks = rankdata(columns.numpy(), axis=0)
    ranks -= ranks.mean(axis=0)
    lengths = np.sqrt((ranks**2).sum(axis=0))
    ranks /= np.where(lengths > 0, lengths, 1.0)
    found = ranks.T @ ranks
    np.fill_diagonal(found, 0.0)
    nearest = np.abs(found).argmax(axis=1)
    return tuple(parts[place] for place in nearest), found[np.arange(len(parts)), nearest]


def _circles(rows: int, repeats: int, seed: int) -> npt.NDArray[np.int64]:
    """int64 [repeats, rows]: whose part each row takes, never its own."""
    rng = np.random.default_rng(seed)
    donors = np.empty((repeats, rows), dtype=np.int64)
    for line in donors:
        order = rng.permutation(rows)
        line[order] = np.roll(order, -1)
    return donors


def _rises(
    asker: Asker,
    given: Inputs,
    truth: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    before: Tensor,
    members: tuple[Tensor, ...],
    parts: int,
    donors: npt.NDArray[np.int64],
) -> tuple[Floats, Floats, Floats]:
    """What losses rise by, summed over circles: by the row that takes and by the one it takes from [parts, n]; and the
    mean over rows [circles, parts]."""
    repeats, n = donors.shape
    device = given[0].device
    whose = torch.from_numpy(donors).to(device).flatten()
    taking, giving = (torch.zeros((parts, n), dtype=torch.float64, device=device) for _ in range(2))
    by_repeat = torch.zeros((parts, repeats), dtype=torch.float64, device=device)
    for part in range(parts):
        places = [(label == part).flatten().nonzero().flatten() for label in members]
        for index, rise in asker.batches(repeats * n, _scored(asker, given, truth, loss, before, places, whose)):
            taking[part].index_add_(0, index % n, rise)
            giving[part].index_add_(0, whose[index], rise)
            by_repeat[part].index_add_(0, index // n, rise / n)
    first, second, third = (found.cpu().numpy() for found in (taking, giving, by_repeat.T))
    return first, second, third


def _scored(
    asker: Asker,
    given: Inputs,
    truth: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    before: Tensor,
    places: list[Tensor],
    whose: Tensor,
) -> Callable[[Tensor], Tensor]:
    """What the losses of rows rise by with one part of other rows, whose numbers stand at `places` of each input.

    whose: int64 [circles x n], the row that each takes the part from.
    """
    n = len(truth)

    def mixed(own: Tensor, taken: Tensor, row: Tensor, donor: Tensor) -> Tensor:
        found = own[row].contiguous()
        if len(taken):
            found.view(len(row), -1)[:, taken] = own.reshape(n, -1)[donor[:, None], taken]
        return found

    def work(index: Tensor) -> Tensor:
        row, donor = index % n, whose[index]
        inputs = tuple(mixed(own, taken, row, donor) for own, taken in zip(given, places, strict=True))
        with torch.no_grad():
            return loss(asker.model.logits(inputs), truth[row]).double() - before[row]

    return work


def _members(
    given: Inputs, groups: Tensor | Sequence[Tensor] | None, names: Sequence[str] | None
) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """Per input, int64 shaped as one of its rows, the part of each number; and the parts' names."""
    sizes = [part[0].numel() for part in given]
    every = torch.arange(sum(sizes))
    if groups is not None:
        masks = (groups,) if isinstance(groups, Tensor) else tuple(groups)
        if [part.numel() for part in masks] != sizes:
            shapes = ", ".join(str(list(part.shape[1:])) for part in given)
            raise InputError(f"groups: give an integer tensor shaped as one row for each input ({shapes})")
        labels, every = torch.unique(torch.cat([part.flatten().long().cpu() for part in masks]), return_inverse=True)
        known = tuple(str(int(label)) for label in labels)
    else:
        known = tuple(str(place) for place in range(len(every)))
    if names is not None and len(names) != len(known):
        raise InputError(f"names: {len(names)} names for {len(known)} parts; give one for each")
    split = every.split(sizes)
    shaped = tuple(part.reshape(own.shape[1:]).to(own.device) for part, own in zip(split, given, strict=True))
    return shaped, known if names is None else tuple(names)
