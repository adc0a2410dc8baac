"""The tables of a New York City Local Law 144 bias audit: rates and impact ratios by sex, race/ethnicity and both.

    impact ratio = selection rate of a category  ÷  that of the most selected category
                   (scoring rate: share with a score above the sample's median)

People whose sex or race/ethnicity is not known take no part in any of the three tables (nor in the median), and are
counted. A category under 2 % of the data may be left out of the impact ratios, then for a stated reason; its size and
rate are listed all the same, and it is not what others are compared with. The rule sets no limit, so nothing here
passes or fails. Where the tables are typed in from elsewhere, their margins are held against each other: people by
sex, by race/ethnicity and by both must be the same people (in the rule's own example they are not).

Rules and thresholds: `ll144.yaml`. Where people are sorted into several groups, make the tables once for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.fairness.counting.columns import as_column, as_numbers, encode_labels
from auditkit.fairness.counting.counts import encode_column, joined
from auditkit.fairness.standards.four_fifths import Selected, checked
from auditkit.fairness.standards.rule import load_standard

Kind = Literal["selection", "scoring"]
Pair = tuple[str, str]
SEX, RACE = "sex", "race/ethnicity"
BOTH = joined([SEX, RACE])

SCHEMA = pa.schema(
    [
        ("breakdown", pa.string()),
        ("category", pa.string()),
        ("kind", pa.string()),
        ("applicants", pa.int64()),
        ("selected", pa.int64()),
        ("rate", pa.float64()),
        ("impact_ratio", pa.float64()),
        ("share", pa.float64()),
        ("small", pa.bool_()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
NOTES = pa.schema(
    [("topic", pa.string()), ("breakdown", pa.string()), ("category", pa.string()), ("text", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A number of one of the single tables that the intersectional table does not add up to.

    category: empty for the total. quantity: applicants or selected. stated: in the single table; summed: over both.
    """

    breakdown: str
    category: str
    quantity: str
    stated: int
    summed: int

    def __str__(self) -> str:
        of = f"{self.breakdown} {self.category}" if self.category else f"the total by {self.breakdown}"
        return (
            f"{of}: {self.stated:,} {self.quantity}, but the intersectional categories add up to {self.summed:,} "
            f"({self.stated - self.summed:+,})"
        )


@dataclass(frozen=True)
class BiasAudit:
    """The tables of one audit. table: one record per category (`SCHEMA`); notes: what must be told with it (`NOTES`).

    unknown: people left out because a category of theirs is not known. median: of the scores, None for selections.
    In a scoring audit `selected` counts those with a score above the median.
    """

    kind: Kind
    table: pa.Table
    notes: pa.Table
    unknown: int
    disagreements: tuple[Disagreement, ...]
    median: float | None = None


def bias_audit_from_counts(
    sex: Mapping[str, Selected],
    race: Mapping[str, Selected],
    both: Mapping[Pair, Selected],
    *,
    unknown: int = 0,
    kind: Kind = "selection",
    exclude_small: str = "",
) -> BiasAudit:
    """The tables from counts that somebody has: category → (applicants, selected or above the median).

    both: (sex, race) → the same. unknown: people not counted because a category is not known. exclude_small: why
    categories under 2 % of the data are left out of the impact ratios; empty to leave none out.
    Raises InputError for impossible counts and empty tables.

    >>> audit = bias_audit_from_counts({"F": (10, 4), "M": (10, 5)}, {"A": (12, 6), "B": (8, 4)},
    ...     {("F", "A"): (6, 3), ("F", "B"): (4, 1), ("M", "A"): (6, 3), ("M", "B"): (4, 2)})
    >>> audit.table["impact_ratio"].to_pylist()[:2], [str(each) for each in audit.disagreements][0]
    ([0.8, 1.0], 'race/ethnicity B: 4 selected, but the intersectional categories add up to 3 (+1)')
    """
    if unknown < 0:
        raise InputError(f"unknown must not be negative, got {unknown}")
    crossed = {joined(pair): counts for pair, counts in both.items()}
    tables = {name: checked(counts, name) for name, counts in ((SEX, sex), (RACE, race), (BOTH, crossed))}
    for name, counts in tables.items():
        if not any(n for n, _ in counts.values()):
            raise InputError(f"{name}: there are no applicants; give (applicants, selected) for each category")
    found = tuple(disagreements(tables[SEX], tables[RACE], both))
    records = [record for name, counts in tables.items() for record in _records(name, counts, kind, exclude_small)]
    notes = [*_unknown_note(unknown), *(_note("margin", f"{each}.", each.breakdown, each.category) for each in found)]
    notes += _small_notes(records, exclude_small)
    return BiasAudit(
        kind,
        pa.Table.from_pylist(records, schema=SCHEMA),
        pa.Table.from_pylist(notes, schema=NOTES),
        unknown,
        found,
    )


def bias_audit_from_columns(
    sex: Any, race: Any, *, selected: Any = None, scores: Any = None, exclude_small: str = ""
) -> BiasAudit:
    """The tables from columns [n] of any kind (lists, numpy, Arrow, data frame columns), one row per person.

    selected: 0/1 or true/false. scores: numbers; then rates are shares above their median. Give one of the two.
    A missing sex or race, or a value such as `unknown`, makes a person unknown. Raises InputError for columns that do
    not fit together, other values, and where nobody is known.

    >>> audit = bias_audit_from_columns(["F", "M", "F", "M", None], ["A", "A", "B", "B", "A"], scores=[1, 2, 3, 4, 9])
    >>> audit.median, audit.unknown, audit.table["rate"].to_pylist()[:2]
    (2.5, 1, [0.5, 0.5])
    """
    if (selected is None) == (scores is None):
        raise InputError("give either selected or scores: one table shows selection rates or scoring rates")
    known = load_standard("ll144").unknown
    sexes, sex_names = encode_column(as_column(sex, SEX))
    races, race_names = encode_column(as_column(race, RACE))
    sex_unknown = np.array([known(name) for name in sex_names], dtype=bool)
    race_unknown = np.array([known(name) for name in race_names], dtype=bool)
    if len(sexes) != len(races):
        raise InputError(
            f"sex has {len(sexes):,} rows, race/ethnicity {len(races):,}; give one value per person in each"
        )
    told = ~(sex_unknown[sexes] | race_unknown[races]) if len(sexes) else np.zeros(0, dtype=bool)
    if not told.any():
        raise InputError(f"there is nobody among {len(sexes):,} people whose sex and race/ethnicity are both known")
    median, notes = None, []
    if scores is not None:
        values = as_numbers(as_column(scores, "scores"), "scores", "scores")
        _same_length(len(values), len(sexes), "scores")
        median = float(np.median(values[told]))
        chosen = values > median
        notes = list(_median_notes(values, told, median))
    else:
        chosen = _chosen(selected, len(sexes))
    shape = (len(sex_names), len(race_names), 2)
    places = np.ravel_multi_index((sexes[told], races[told], chosen[told].astype(np.int64)), shape)
    cells = np.bincount(places, minlength=int(np.prod(shape))).astype(np.int64).reshape(shape)
    kind: Kind = "selection" if median is None else "scoring"
    audit = _from_cells(cells, sex_names, race_names, int((~told).sum()), kind, exclude_small)
    extra = pa.Table.from_pylist(notes, schema=NOTES)
    return BiasAudit(
        audit.kind, audit.table, pa.concat_tables([audit.notes, extra]), audit.unknown, audit.disagreements, median
    )


def bias_audit_from_cells(
    cells: Mapping[Pair, Selected], *, kind: Kind = "selection", exclude_small: str = ""
) -> BiasAudit:
    """The tables from the intersectional counts alone, unknown categories among them: (sex, race) → (people, selected).

    >>> audit = bias_audit_from_cells({("F", "A"): (4, 1), ("M", "A"): (4, 2), ("M", "(missing)"): (3, 3)})
    >>> audit.unknown, audit.table["impact_ratio"].to_pylist()[:2]
    (3, [0.5, 1.0])
    """
    unknown = load_standard("ll144").unknown
    sexes, races = (sorted({pair[place] for pair in cells}) for place in (0, 1))
    table = np.zeros((len(sexes), len(races), 2), dtype=np.int64)
    left_out = 0
    for (sex, race), (n, k) in cells.items():
        if unknown(sex) or unknown(race):
            left_out += n
        else:
            table[sexes.index(sex), races.index(race)] += (n - k, k)
    return _from_cells(table, sexes, races, left_out, kind, exclude_small)


def _from_cells(
    cells: npt.NDArray[np.int64], sexes: list[str], races: list[str], unknown: int, kind: Kind, exclude_small: str
) -> BiasAudit:
    """cells: int64 [sexes, races, not selected or selected], known people only."""

    def counts(names: list[str], table: npt.NDArray[np.int64]) -> dict[str, Selected]:
        return {
            name: (int(line.sum()), int(line[1])) for name, line in zip(names, table, strict=True) if line.sum() > 0
        }

    both = {
        (sex, race): (int(line.sum()), int(line[1]))
        for sex, row in zip(sexes, cells, strict=True)
        for race, line in zip(races, row, strict=True)
        if line.sum() > 0
    }
    return bias_audit_from_counts(
        counts(sexes, cells.sum(axis=1)),
        counts(races, cells.sum(axis=0)),
        both,
        unknown=unknown,
        kind=kind,
        exclude_small=exclude_small,
    )


def disagreements(
    sex: Mapping[str, Selected], race: Mapping[str, Selected], both: Mapping[Pair, Selected]
) -> Iterator[Disagreement]:
    """Where the intersectional table does not add up to the single ones: by category, then in total.

    >>> [str(each) for each in disagreements({"F": (3, 1)}, {"A": (3, 1)}, {("F", "A"): (3, 1)})]
    []
    """
    for place, (breakdown, single) in enumerate(((SEX, sex), (RACE, race))):
        categories = list(dict.fromkeys([*single, *(pair[place] for pair in both)]))
        for category in [*categories, ""]:
            stated = list(single.values()) if not category else [single.get(category, (0, 0))]
            parts = [counts for pair, counts in both.items() if category in ("", pair[place])]
            for at, quantity in enumerate(("applicants", "selected")):
                told, summed = sum(counts[at] for counts in stated), sum(counts[at] for counts in parts)
                if told != summed:
                    yield Disagreement(breakdown, category, quantity, told, summed)


def _records(breakdown: str, counts: Mapping[str, Selected], kind: Kind, exclude_small: str) -> list[dict[str, Any]]:
    total = sum(n for n, _ in counts.values())
    smallest = load_standard("ll144").thresholds["small_category"]
    small = {name: n / total < smallest for name, (n, _) in counts.items()}
    rates = {name: k / n for name, (n, k) in counts.items() if n > 0}
    compared = [rate for name, rate in rates.items() if not (exclude_small and small[name])]
    best = max(compared, default=0.0)
    records = []
    for name, (n, k) in counts.items():
        reason, status = "", "ok"
        if n == 0:
            status, reason = "undefined", "no applicants"
        elif exclude_small and small[name]:
            status, reason = "excluded", exclude_small
        elif best == 0:
            status, reason = "undefined", "no category to compare with has a rate above 0"
        records.append(
            {
                "breakdown": breakdown,
                "category": name,
                "kind": kind,
                "applicants": n,
                "selected": k,
                "rate": rates.get(name),
                "impact_ratio": rates[name] / best if status == "ok" else None,
                "share": n / total,
                "small": small[name],
                "status": status,
                "reason": reason,
            }
        )
    return records


def _note(topic: str, text: str, breakdown: str = "", category: str = "") -> dict[str, str]:
    return {"topic": topic, "breakdown": breakdown, "category": category, "text": text}


def _unknown_note(unknown: int) -> list[dict[str, str]]:
    return [_note("unknown", f"{unknown:,} people of unknown sex or race/ethnicity are not in the tables.")]


def _small_notes(records: list[dict[str, Any]], exclude_small: str) -> Iterator[dict[str, str]]:
    for record in records:
        if not record["small"]:
            continue
        what = f"{record['category']} is {100 * record['share']:.2g} % of the data ({record['applicants']:,} people)"
        if exclude_small:
            text = f"{what} and left out of the impact ratios: {exclude_small}"
        else:
            text = f"{what}: under 2 %, so it may be left out of the impact ratios where the reason is told"
            if record["impact_ratio"] == 1.0:
                text += "; it has the highest rate, so that all ratios here are held against few people"
        yield _note("small category", text.rstrip(".") + ".", record["breakdown"], record["category"])


def _median_notes(
    values: npt.NDArray[np.float64], told: npt.NDArray[np.bool_], median: float
) -> Iterator[dict[str, str]]:
    known = values[told]
    yield _note("median", f"The median score of the {len(known):,} people counted is {median:g}.")
    everybody = float(np.median(values))
    if everybody != median:
        yield _note("median", f"With the people of unknown category it would be {everybody:g}.")
    at = int((known == median).sum())
    if at > 0.05 * len(known):
        above = int((known > median).sum())
        yield _note(
            "ties",
            f"{at:,} people have exactly the median score and count as not above it, so that "
            f"{100 * above / len(known):.0f} % are above it and not half; ratios depend on where such ties are put.",
        )


def _chosen(selected: Any, rows: int) -> npt.NDArray[np.bool_]:
    codes, names = encode_labels(as_column(selected, "selected"), "selected", "selected")
    if not set(names) <= {"0", "1"}:
        shown = ", ".join(repr(name) for name in names[:4])
        raise InputError(f"selected holds {shown}; give 1 or true for people who were selected, 0 or false for others")
    _same_length(len(codes), rows, "selected")
    return np.array([name == "1" for name in names], dtype=bool)[codes]


def _same_length(rows: int, people: int, name: str) -> None:
    if rows != people:
        raise InputError(f"{name} has {rows:,} rows, sex {people:,}; give one value per person in each")
