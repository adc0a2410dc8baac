"""Gaps given a legitimate factor as sections: the gap of all rows beside the gap among people alike in the factor."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section, matching
from auditkit.fairness.conditional.figures import raw_against_strata
from auditkit.fairness.conditional.simpson import MARGIN
from auditkit.fairness.groups.definitions import RATES
from auditkit.theme import interval, number, probability

WARNING = (
    "A gap that is smaller among people alike in {control} is not thereby fair: where {control} is itself a product of "
    "unfair treatment, conditioning on it hides that. Gates on the unconditional gap stay as they are."
)


def conditional_sections(evidence: Any) -> list[Section]:
    """A section for each split, sensitive attribute and factor; none where nothing was conditioned on."""
    pairs, strata = evidence.table("fairness/conditional_pairs"), evidence.table("fairness/conditional")
    if pairs is None or strata is None or not pairs.num_rows:
        return []
    records = pairs.to_pylist()
    keys = list(dict.fromkeys((record["split"], record["attribute"], record["control"]) for record in records))
    return [
        _section([r for r in records if (r["split"], r["attribute"], r["control"]) == key], strata, key) for key in keys
    ]


def _section(pairs: list[dict[str, Any]], strata: pa.Table, key: tuple[str, str, str]) -> Section:
    split, attribute, control = key
    told = max(pairs, key=_weight)
    lines = matching(strata, split=split, attribute=attribute, control=control, rate=told["rate"])
    groups = told["first"], told["second"]
    names = sorted({line["group"] for line in lines})
    mine = [line for line in lines if line["group"] in groups]
    return Section(
        key="conditional-" + hashlib.sha256("\0".join(key).encode()).hexdigest()[:8],
        title=f"By {attribute}, among people alike in {control}" + (f" ({split})" if split else ""),
        finding=_finding(told, control),
        figure=raw_against_strata(mine, groups, names, RATES[told["rate"]].title, control),
        reading="Diamonds are all rows of a group, circles its rows within a stratum; the larger a circle, the more of "
        "the group's rows are in that stratum. Bars are Wilson intervals.",
        table=pa.Table.from_pylist([_line(pair) for pair in sorted(pairs, key=_weight, reverse=True)]),
        how="One common difference over strata (Mantel-Haenszel, Sato's variance) with bounds that hold for all pairs "
        "of a rate together. Strata with one of the two groups only say nothing of their gap and are left out. Whether "
        "strata share one difference: Cochran's Q. Simpson's paradox is told only if the intervals bear it: opposite "
        f"signs, or a gap beyond {100 * MARGIN:g} points that lies within them once conditioned on. "
        + WARNING.format(control=control),
    )


def _weight(pair: dict[str, Any]) -> tuple[bool, bool, float]:
    """What is told first: a reversal, then a gap that vanishes, then the largest common gap in selection."""
    selection = pair["rate"] == "selection_rate"
    return bool(pair["paradox"]), selection, max(abs(pair["raw"]), abs(pair["common"]))


def _gap(pair: dict[str, Any], name: str) -> str:
    keys = ("raw", "raw_lower", "raw_upper") if name == "raw" else ("common", "lower", "upper")
    value, low, high = (pair[key] for key in keys)
    return f"{number(value, 'points', low, high)} {interval(low, high, 'points')}"


def _finding(pair: dict[str, Any], control: str) -> str:
    rate, first, second = RATES[pair["rate"]].title, pair["first"], pair["second"]
    gaps = f"{first} less {second}: {_gap(pair, 'raw')} among all rows, {_gap(pair, 'common')} given {control}"
    if pair["paradox"] == "reversed":
        text = f"The gap in {rate} turns round among people alike in {control} (Simpson's paradox). {gaps}."
    elif pair["paradox"] == "vanishes":
        text = (
            f"The gap in {rate} vanishes among people alike in {control} (Simpson's paradox): the groups differ in "
            f"{control} rather than within it. {gaps}."
        )
    else:
        text = f"{rate.capitalize()}, {gaps}."
    if pair["p_value"] is not None and pair["p_value"] < 0.05:
        text += f" Strata disagree (Cochran's Q, p {pair['p_value']:.2g}): read them one by one."
    if pair["paradox"]:
        text += (
            f" What was conditioned on is {control}; if that is itself a product of unfair treatment, this hides it."
        )
    return text


def _line(pair: dict[str, Any]) -> dict[str, str]:
    left = f"{len(pair['left_out'])} ({pair['rows_left_out']:,} rows)" if pair["left_out"] else "none"
    return {
        "rate": RATES[pair["rate"]].title,
        "groups": f"{pair['first']} less {pair['second']}",
        "all rows": _gap(pair, "raw"),
        "given the factor": _gap(pair, "common"),
        "ratio given the factor": number(pair["ratio"], "ratio", pair["ratio_lower"], pair["ratio_upper"]),
        "strata": str(pair["strata"]),
        "strata left out": left,
        "strata alike, p": probability(pair["p_value"]),
        "Simpson's paradox": pair["paradox"] or "no",
    }
