"""Counterfactuals of tables: the smallest plausible change of a row that turns its decision.

"With three more years of education the answer would have been yes." The change is one that people could make: columns
that cannot change do not, and a column that only ever rises (age) rises. It is plausible: every new value occurs in the
training rows, and the changed row lies no further from its nearest training row than 95 % of the training rows lie from
theirs (or than the row did before, where that was further already). It needs nothing of the model but its answers, so
it works for any function from a table to scores.

The fewest columns come first, then the smallest changes in units of each column's spread (`table_values`).

1. All changes of one column, then of two, and so on, as long as the budget of scored rows covers each level as a whole.
   What is found here is the best there is, which `fewest` says. (Of a column with more than 500 values as many are
   tried, from the nearest to the furthest; the number that is found is then moved nearer, and `fewest` is not claimed.)
2. Beyond that, nearest unlike neighbours: the row takes over all it may from training rows that get another decision,
   the nearest first. Of those that turn, one column after the other is restored, the costliest first, as long as the
   decision stays turned, and the numbers that are left are moved back towards the row as far as it does.

For another way to the same decision, make a changed column immutable and ask again.

It says what would turn this model's decision, and not what would happen to a person who changed: columns hang together,
and the model may be wrong. Where nothing is found, that is said, with the reason.

Source: Wachter, Mittelstadt, Russell, "Counterfactual Explanations without Opening the Black Box", Harvard Journal of
Law and Technology 31, 2018, arXiv:1711.00399; donors and restoration: Keane and Smyth, "Good Counterfactuals and Where
to Find Them", ICCBR 2020, arXiv:2005.13997; Brughmans, Leyman, Martens, "NICE", Data Mining and Knowledge Discovery,
2023, arXiv:2104.07411; what may change: Ustun, Spangher, Liu, "Actionable Recourse", FAT* 2019, arXiv:1809.06514.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from auditkit.attribution.counterfactual_search import Decisions, Scores, Search
from auditkit.attribution.table_values import Floats, TableValues, Way
from auditkit.errors import InputError


@dataclass(frozen=True)
class Counterfactual:
    """What would turn the decision, or why nothing was found.

    changes: of each changed column what it is and what it would have to be. row: the changed row, a table of one.
    before, after: its scores. decision, turned: what is decided. cost: the sum of the changes, in units of the columns'
    spread. fewest: whether all changes of fewer columns were tried and turn nothing. distance, usual: of the changed
    row to its nearest training row, and what 95 % of training rows keep to. evaluations: rows that were scored.
    """

    found: bool
    reason: str
    decision: int
    before: Floats
    changes: dict[Hashable, tuple[Any, Any]] = field(default_factory=dict)
    row: pd.DataFrame | None = None
    turned: int | None = None
    after: Floats | None = None
    cost: float | None = None
    fewest: bool = False
    distance: float | None = None
    usual: float | None = None
    evaluations: int = 0

    def __str__(self) -> str:
        if not self.found:
            return self.reason
        told = [f"{name} were {new} instead of {old}" for name, (old, new) in self.changes.items()]
        return f"The decision would be {self.turned} instead of {self.decision} if {' and '.join(told)}."


def counterfactual(
    scores: Scores,
    row: pd.DataFrame | pd.Series,
    training: pd.DataFrame,
    *,
    wanted: int | None = None,
    threshold: float = 0.5,
    immutable: Sequence[str] = (),
    monotone: Mapping[str, Way] | None = None,
    categorical: Sequence[str] = (),
    budget: int = 20_000,
    seed: int = 0,
) -> Counterfactual:
    """The smallest plausible change of a row that turns its decision.

    scores: a function from a table with the columns of `training` to scores [n] (the decision is 1 at the threshold and
    above, 0 below) or [n, classes] (the decision is the class with the largest). row: one row, a table or a series.
    training: rows that tell what occurs. wanted: the decision to be reached, any other one where None. immutable:
    columns that stay. monotone: columns of numbers that may only go "up" or "down". categorical: columns of numbers
    that are codes. budget: rows that may be scored in search of the fewest columns. seed: of what is drawn from long
    tables.

    Raises InputError for columns that do not fit, values that are no value of their column's type, scores of another
    shape or that are not finite.

    Source: Brughmans, Leyman, Martens, 2023, arXiv:2104.07411.

    >>> known = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "hours": [10, 20, 30, 40, 20, 10, 20, 30]})
    >>> found = counterfactual(lambda t: t.age + t.hours, known.iloc[:1], known, threshold=40, immutable=["hours"])
    >>> found.changes, str(found)
    ({'age': (20, 30)}, 'The decision would be 1 instead of 0 if age were 30 instead of 20.')
    """
    one = row.to_frame().T.infer_objects() if isinstance(row, pd.Series) else row
    if len(one) != 1 or not len(training):
        raise InputError(f"a counterfactual is of one row among training rows; got {len(one)} and {len(training)}")
    absent = [str(name) for name in training.columns.difference(one.columns)]
    if absent:
        raise InputError(f"row: it lacks columns of the training rows: {', '.join(absent)}")
    values = TableValues.of(training, one, immutable, monotone, categorical)
    decisions = Decisions(scores, values, threshold)
    search = Search(values, decisions, wanted, budget, seed)
    codes, reason = search.run()
    if codes is None:
        return Counterfactual(False, reason, search.decision, search.before[0], evaluations=decisions.evaluations)
    after = decisions.scored(codes[None])
    pairs = zip(values.columns, codes, strict=True)
    return Counterfactual(
        found=True,
        reason="",
        decision=search.decision,
        before=search.before[0],
        changes={c.name: (_plain(c.values[c.own]), _plain(c.values[new])) for c, new in pairs if new != c.own},
        row=values.frame(codes[None]),
        turned=int(decisions.decided(after)[0]),
        after=after[0],
        cost=float(values.cost(codes[None])[0]),
        fewest=search.fewest(codes),
        distance=float(search.apart(codes[None])[0]),
        usual=search.usual,
        evaluations=decisions.evaluations,
    )


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's."""
    return value.item() if isinstance(value, np.generic) else value
