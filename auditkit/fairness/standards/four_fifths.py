"""Four-fifths: each group's selection rate against that of the highest, and what has to be known beside the ratio.

    impact ratio = selected / people of a group  ÷  the same of the group with the highest rate

29 CFR 1607.4(D) reads a ratio below 4/5 as a sign to look closer, and in the same breath says that a smaller
difference may matter where it is significant, and a larger one may not where numbers are small. So each ratio comes
with its companions:

* whether chance could explain it: pooled z and Fisher's exact test. The exact one is read where an expected count is
  below 5. The group with the highest rate is chosen after looking, so p values are read after Bonferroni's correction
  for all k(k - 1)/2 pairs, which holds whichever pair is looked at;
* how many more (or fewer) selections in the group would change the outcome, and whether one different person would
  turn the order round (question and answer 21 of 1979).

Comparisons with 4/5 are in whole numbers: a ratio of exactly 0.8 is not below. What comes out is a reading, not a
verdict. Rules and thresholds: `four_fifths.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.standards.rule import load_standard
from auditkit.fairness.standards.significance import chi_squared, fisher_exact, smallest_expected, two_proportion_z

Selected = tuple[int, int]
"""People of a group and how many of them were selected."""

HIGHEST, NOT_JUDGED = "highest rate", "not judged"
BELOW_BEYOND, BELOW_SMALL, BELOW_WITHIN = "below, beyond chance", "below, small numbers", "below, within chance"
ABOVE_BEYOND, ABOVE_WITHIN = "at least, beyond chance", "at least, within chance"

SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("group", pa.string()),
        ("n", pa.int64()),
        ("selected", pa.int64()),
        ("rate", pa.float64()),
        ("impact_ratio", pa.float64()),
        ("reference", pa.string()),
        ("z", pa.float64()),
        ("p_z", pa.float64()),
        ("p_fisher", pa.float64()),
        ("test", pa.string()),
        ("p_value", pa.float64()),
        ("p_adjusted", pa.float64()),
        ("selections_to_change", pa.int64()),
        ("one_more_changes", pa.bool_()),
        ("two_more_change", pa.bool_()),
        ("one_swap_reverses", pa.bool_()),
        ("p_any_difference", pa.float64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
    ]
)


def checked(groups: Mapping[str, Selected], where: str) -> dict[str, Selected]:
    """The counts as whole numbers. Raises InputError where more are selected than there are people, or below 0."""
    found = {}
    for name, (n, k) in groups.items():
        if n != int(n) or k != int(k) or not 0 <= k <= n:
            raise InputError(
                f"{where}: {name!r} has {n:g} people of whom {k:g} selected; give whole numbers, 0 <= k <= n"
            )
        found[str(name)] = (int(n), int(k))
    return found


def four_fifths(groups: Mapping[str, Selected], attribute: str = "", unknown: Iterable[str] = ()) -> pa.Table:
    """The four-fifths table of one attribute, one record per group in the order given.

    groups: name → (people, selected). unknown: groups that are listed but not compared, because who belongs to them is
    not known. Columns are those of `SCHEMA`; a number that does not exist is null and `reason` says why.
    Raises InputError for impossible counts.

    >>> table = four_fifths({"a": (1000, 250), "b": (1000, 270), "c": (1000, 240), "d": (1000, 260)})
    >>> [round(ratio, 3) for ratio in table["impact_ratio"].to_pylist()]
    [0.926, 1.0, 0.889, 0.963]
    """
    counted = checked(groups, attribute or "four-fifths")
    left_out = set(unknown)
    compared = {name: pair for name, pair in counted.items() if name not in left_out and pair[0] > 0}
    rates = {name: Fraction(k, n) for name, (n, k) in compared.items()}
    reference = max(sorted(rates), key=lambda name: (rates[name], compared[name][0]), default="")
    any_difference = chi_squared(list(compared.values()))
    rows = []
    for name, (n, k) in counted.items():
        row = dict.fromkeys(SCHEMA.names) | {"attribute": attribute, "group": name, "n": n, "selected": k, "reason": ""}
        row |= {"rate": k / n if n else None, "outcome": NOT_JUDGED}
        row["p_any_difference"] = any_difference[2] if any_difference else None
        if name in left_out:
            row["reason"] = "the group of these people is not known"
        elif n == 0:
            row["reason"] = "nobody belongs to this group"
        elif len(compared) < 2:
            row["reason"] = "there is no other group to compare with"
        elif rates[reference] == 0:
            row["reason"] = "nobody was selected in any group"
        elif name == reference:
            row |= {"impact_ratio": 1.0, "reference": reference, "outcome": HIGHEST}
        else:
            row |= {"reference": reference} | _against((n, k), compared[reference], len(compared))
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _against(mine: Selected, best: Selected, groups: int) -> dict[str, object]:
    """A group against the one with the highest rate."""
    limits = load_standard("four_fifths").thresholds
    (n, k), (m, j) = mine, best
    normal = two_proportion_z(mine, best)
    exact = fisher_exact(mine, best)
    by_exact = normal is None or smallest_expected(mine, best) < limits["expected"]
    p = exact if normal is None or by_exact else normal[1]
    adjusted = min(1.0, p * groups * (groups - 1) / 2)
    ratio = Fraction(k, n) / Fraction(j, m)
    change = selections_to_change(mine, best)
    few = limits["few_selections"]
    small = min(n, m) < limits["small_group"] or by_exact or (change is not None and change <= few)
    return {
        "impact_ratio": float(ratio),
        "z": normal[0] if normal else None,
        "p_z": normal[1] if normal else None,
        "p_fisher": exact,
        "test": "Fisher's exact test" if by_exact else "two-proportion z test",
        "p_value": p,
        "p_adjusted": adjusted,
        "selections_to_change": change,
        "one_more_changes": change is not None and change <= 1,
        "two_more_change": change is not None and change <= 2,
        "one_swap_reverses": j > 0 and k < n and Fraction(k + 1, n) > Fraction(j - 1, m),
        "outcome": _outcome(ratio < limit(), adjusted < limits["significance"], small),
    }


def limit() -> Fraction:
    """Four-fifths as a fraction, so that comparisons are exact."""
    return Fraction(str(load_standard("four_fifths").thresholds["ratio"]))


def _outcome(below: bool, beyond: bool, small: bool) -> str:
    if not below:
        return ABOVE_BEYOND if beyond else ABOVE_WITHIN
    if beyond:
        return BELOW_BEYOND
    return BELOW_SMALL if small else BELOW_WITHIN


def selections_to_change(mine: Selected, best: Selected) -> int | None:
    """How many selections in a group stand between it and the other side of four-fifths, the highest rate unchanged.

    More selections for a group below, fewer for one at or above. None where no number of them changes it.

    >>> selections_to_change((10, 1), (20, 3)), selections_to_change((100, 41), (100, 50))
    (1, 2)
    """
    (n, k), (m, j) = mine, best
    if n == 0 or m == 0 or j == 0:
        return None
    needed = -((-limit() * j * n) // m)  # the smallest number selected that is at least four-fifths
    if k < needed:
        return int(needed - k)
    return int(k - needed + 1) if needed >= 1 else None
