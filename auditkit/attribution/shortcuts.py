"""Shortcut candidates: strategies that rest on a place where nothing else does.

A mark in a corner, a watermark, one column that gives the answer away: a model that learned it rests there for the
rows that have it, and nowhere near there for all others. So for every strategy the parts are looked for whose share of
the attribution is many times that of the rows it is compared with,

    part j belongs to the region where  mean share in the strategy > lift × mean share in the comparison,

and the strategy is a candidate where its region holds a seventh (15 %) of its attribution or more:

* a strategy that is a part of its class is held against the rest of that class and against all other classes, and each
  part's share has to be five times the larger of both;
* all rows of a class together have only other classes to be held against. These differ for good reasons as well (the
  blank middle of a zero holds ten times what other digits rest there), so that fifteen times is asked for.

The region is chosen on one half of the rows, drawn with the seed; its share, the lift and the p-value come from the
other half, so that the choice does not flatter them. The test is Mann and Whitney's, one-sided: does the region hold
more of the attribution in rows predicted as this class than in rows predicted as others? It is asked of whole classes,
since clusters were made from the very attributions it compares. P-values are adjusted after Benjamini and Hochberg over
all strategies that have a region.

A candidate is a reason to look, no proof: the region may be what the class is about.

Sources: Lapuschkin et al. (2019), Nature Communications 10, 1096 (strategies as clusters of heat maps); Mann and
Whitney (1947), Annals of Mathematical Statistics 18(1), 50-60; Cox (1975), Biometrika 62(2), 441-444 (half to choose,
half to test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from auditkit.attribution.strategies import FEWEST, Floats, Strategy, mass
from auditkit.statistics.multiplicity import benjamini_hochberg

WITHIN, BETWEEN = 5.0, 15.0
"""how many times the comparison's share, within a class and between classes"""
LEAST = 0.15
"""share of a strategy's attribution that its region holds"""
LEVEL = 0.05
FLOOR = 0.01
"""a comparison's share of a part counts as this part of an even spread at least, so that a lift stays finite"""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What was found of one strategy. against: what it is compared with. region: places of parts, by falling share.

    share, elsewhere: of the attribution in the region, in the strategy and in the comparison, both in the half that
    did not choose the region; lift: their ratio. p, adjusted: of the class against the others; None without a region.
    """

    against: Literal["the rest of its class", "other classes", ""]
    region: tuple[int, ...] = ()
    share: float | None = None
    elsewhere: float | None = None
    lift: float | None = None
    p: float | None = None
    adjusted: float | None = None
    candidate: bool = False
    reason: str = ""


def together(found: Sequence[Strategy]) -> list[Strategy]:
    """All rows of each class that has several strategies, as one; the medoid and the farthest are those of its largest.

    >>> a, b = Strategy("a", 1, np.arange(3), 0, 1), Strategy("a", 2, np.arange(3, 5), 3, 4)
    >>> together([a, b])[0].rows.tolist()
    [0, 1, 2, 3, 4]
    """
    result = []
    for name in dict.fromkeys(strategy.name for strategy in found):
        own = [strategy for strategy in found if strategy.name == name]
        if len(own) > 1:
            rows = np.sort(np.concatenate([strategy.rows for strategy in own]))
            result.append(Strategy(name, 0, rows, own[0].medoid, own[0].farthest))
    return result


def shortcuts(values: Floats, classes: npt.NDArray, found: Sequence[Strategy], seed: int) -> list[Shortcut]:
    """For every strategy whether it is a shortcut candidate, and why not. Arguments as in `strategies`.

    A class that has several strategies should be among `found` as a whole as well (`together`).

    >>> rng = np.random.default_rng(0)
    >>> values = np.pad(rng.normal(size=(90, 20)), ((0, 0), (0, 1)))
    >>> values[:30, 20] = 40.0
    >>> classes = np.repeat(["marked", "b", "c"], 30)
    >>> own = Strategy("marked", 1, np.arange(30), 0, 1)
    >>> shortcuts(values, classes, [own], seed=0)[0].region
    (20,)
    """
    shares = mass(values)
    first = _half(classes, seed)
    drafts = [_draft(shares, classes, strategy, first) for strategy in found]
    tested = {place: draft.p for place, draft in enumerate(drafts) if draft.p is not None}
    for place, adjusted in zip(tested, benjamini_hochberg(list(tested.values())), strict=True):
        drafts[place] = _judged(drafts[place], float(adjusted))
    return [_told_once(strategy, draft, found, drafts) for strategy, draft in zip(found, drafts, strict=True)]


def _told_once(strategy: Strategy, draft: Shortcut, found: Sequence[Strategy], drafts: Sequence[Shortcut]) -> Shortcut:
    """A class as a whole is no candidate of its own where one of its strategies is, for the same region."""
    for other, judged in zip(found, drafts, strict=True):
        same = other.name == strategy.name and other.number and set(judged.region) & set(draft.region)
        if draft.candidate and strategy.number == 0 and judged.candidate and same:
            return replace(draft, candidate=False, reason=f"strategy {other.number} of the class is one")
    return draft


def _half(classes: npt.NDArray, seed: int) -> npt.NDArray[np.bool_]:
    """Every other row of each class in a random order, bool [n]."""
    rng, chosen = np.random.default_rng(seed), np.zeros(len(classes), dtype=bool)
    for name in sorted(set(classes.tolist())):
        chosen[rng.permutation(np.flatnonzero(classes == name))[::2]] = True
    return chosen


def _draft(shares: Floats, classes: npt.NDArray, strategy: Strategy, first: npt.NDArray[np.bool_]) -> Shortcut:
    own = np.zeros(len(classes), dtype=bool)
    own[strategy.rows] = True
    same = classes.astype(str) == strategy.name
    rest, others = same & ~own, ~same
    within = rest.sum() >= FEWEST
    if not others.any():
        return Shortcut("", reason="there is no other class to compare with")
    if own.sum() < FEWEST or others.sum() < FEWEST:
        return Shortcut("", reason=f"fewer than {FEWEST} rows to compare")
    against: Literal["the rest of its class", "other classes"] = "the rest of its class" if within else "other classes"
    lift = WITHIN if within else BETWEEN
    held = [rest, others] if within else [others]
    usual = _floored(np.max([shares[rows & first].mean(axis=0) for rows in held], axis=0))
    mean = shares[own & first].mean(axis=0) if (own & first).any() else np.zeros(shares.shape[1])
    region = np.flatnonzero(mean > lift * usual)
    region = region[np.argsort(-mean[region], kind="stable")]
    if not len(region) or not all((rows & ~first).any() for rows in (own, *held)):
        return Shortcut(against, reason=f"no part holds {lift:g} times what it holds in {against}")
    held_out = shares[:, region].sum(axis=1)
    share = float(held_out[own & ~first].mean())
    elsewhere = max(float(held_out[rows & ~first].mean()) for rows in held)
    least = float(_floored(np.zeros(shares.shape[1]))[region].sum())
    return Shortcut(
        against,
        tuple(int(part) for part in region),
        share,
        elsewhere,
        share / max(elsewhere, least),
        _more_in(held_out[same & ~first], held_out[others & ~first]),
    )


def _judged(draft: Shortcut, adjusted: float) -> Shortcut:
    lift = WITHIN if draft.against == "the rest of its class" else BETWEEN
    assert draft.share is not None
    assert draft.lift is not None
    reason = ""
    if draft.share < LEAST:
        reason = f"its region holds less than {LEAST:.0%} of the attribution"
    elif draft.lift < lift:
        reason = f"less than {lift:g} times as much as in {draft.against}"
    elif adjusted > LEVEL:
        reason = "the class does not rest there more than others beyond chance"
    return replace(draft, adjusted=adjusted, candidate=not reason, reason=reason)


def _floored(usual: Floats) -> Floats:
    return np.maximum(usual, FLOOR / len(usual))


def _more_in(values: Floats, others: Floats) -> float:
    """One-sided p of Mann and Whitney's test that `values` are the larger; 1 where all are tied."""
    from scipy.stats import mannwhitneyu

    if len(values) == 0 or len(others) == 0 or np.ptp(np.concatenate([values, others])) == 0:
        return 1.0
    return float(mannwhitneyu(values, others, alternative="greater").pvalue)
