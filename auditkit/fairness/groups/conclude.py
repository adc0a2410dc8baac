"""From counts of one split or several to findings: metric rows, tables, and what to read before trusting them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from auditkit.evidence.metrics import Caveat, Findings, MetricRow, to_table
from auditkit.fairness.counting.counts import JOIN, MISSING, Counts
from auditkit.fairness.counting.spelling import spelling_caveats
from auditkit.fairness.groups.companions import Effective, companion_rows, shrunken_rates
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.draws import Design
from auditkit.fairness.groups.inference import Inference, infer
from auditkit.fairness.sensitivity.errors import sensitivity_table
from auditkit.fairness.settings import Settings
from auditkit.fairness.standards import standards_tables
from auditkit.statistics.multiplicity import benjamini_hochberg

_PAIRS = pa.schema(
    [(name, pa.string()) for name in ("split", "attribute", "metric", "first", "second")]
    + [(name, pa.float64()) for name in ("difference", "lower", "upper", "ratio", "ratio_lower", "ratio_upper")]
    + [(name, pa.float64()) for name in ("p_value", "q_value")]
)
_NAMED = 8


@dataclass(frozen=True)
class Conclusion:
    """What was concluded. Arrow tables are made when asked for: a verdict needs none of them."""

    counts: Mapping[str, Counts]
    inferred: Mapping[str, Inference]
    settings: Settings
    caveats: list[Caveat]

    @cached_property
    def metrics(self) -> list[MetricRow]:
        """All rows: rates of every split first, then what is derived from the same counts, gaps, and companions."""
        parts = self.inferred.values()
        kinds = ("rates", "derived", "gaps", "against")
        rows = [row for kind in kinds for part in parts for row in getattr(part, kind)]
        return rows + companion_rows(self.counts[self.judged], self.settings, self.judged, self._effective)

    @property
    def _effective(self) -> Effective:
        return self.inferred[self.judged].effective

    @property
    def judged(self) -> str:
        """The split that is judged: test where there is one."""
        return "test" if "test" in self.counts else list(self.counts)[-1]

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """`counts` (group × cell), `rates` (with the numerator of each), `gaps`, `pairs` (first group less, and over,
        second); of the split that is judged `shrunken` (rates that borrow strength), `sensitivity` (to wrong labels and
        groups) and `four_fifths`."""
        parts = self.inferred.values()
        counts = [table.table(split) for split, part in self.inferred.items() for table in part.counts]
        rates = to_table([row for part in parts for row in part.rates])
        numerators = pa.array([fraction[0] for part in parts for fraction in part.fractions], pa.int64())
        gaps = to_table([row for part in parts for row in part.gaps])
        return {
            "counts": pa.concat_tables(counts),
            "rates": rates.append_column("numerator", numerators).drop_columns(["analysis", "detail", "unjudged"]),
            "gaps": gaps.drop_columns(["analysis", "group"]),
            "pairs": _pairs([pair for part in parts for pair in part.pairs]),
            "sensitivity": sensitivity_table(self.counts[self.judged], self.settings, self.judged),
            "shrunken": shrunken_rates(self.counts[self.judged], self.settings, self.judged, self._effective),
            **({} if self._effective else standards_tables(self.counts[self.judged])),
        }

    def findings(self) -> Findings:
        """The same as an audit keeps it."""
        return Findings(metrics=list(self.metrics), tables=dict(self.tables), caveats=list(self.caveats))


def conclude(
    counts: Mapping[str, Counts],
    settings: Settings,
    missing: Mapping[str, Mapping[str, int]] | None = None,
    designs: Mapping[str, Design] | None = None,
) -> Conclusion:
    """Conclude from the counts of each split (name → counts; the name is empty where there are no splits).

    missing: split → attribute → rows without a value. designs: split → how its rows were drawn, where not one by one.
    """
    inferred = {split: infer(table, settings, split, (designs or {}).get(split)) for split, table in counts.items()}
    caveats = [
        caveat
        for split, part in inferred.items()
        for caveat in caveats_of(counts[split], part, (missing or {}).get(split, {}), split)
    ]
    return Conclusion(counts, inferred, settings, caveats)


def caveats_of(
    counts: Counts, part: Inference, missing: Mapping[str, int], split: str = "", withheld: Sequence[Caveat] = ()
) -> list[Caveat]:
    """What to read before trusting what was inferred from the counts of a split.

    missing: attribute → rows without a value. withheld: what was not published of these counts.
    """
    caveats = _missing_values(split, counts.rows, missing)
    caveats += [replace(caveat, text=_of(split) + caveat.text) for caveat in _spellings(counts)]
    caveats += [*withheld, *_unjudged_groups(split, part), *_unjudged_rates(split, part)]
    caveats += [
        Caveat("fairness", f"{_of(split)}{name} has too many groups to be compared and was left out", name)
        for name in part.left_out
    ]
    if part.effective:
        text = (
            "rows are weighted or drawn from strata or clusters: tests that count rows (those beside four-fifths, "
            "permutations) were left out"
        )
        caveats.append(Caveat("fairness", _of(split) + text, "fairness", "note"))
    return [replace(caveat, level="note") if _of_training(caveat) else caveat for caveat in caveats]


def _pairs(records: Sequence[dict[str, object]]) -> pa.Table:
    """The pairs, for exploring: their p-values also adjusted for how many there are (Benjamini-Hochberg)."""
    adjusted = benjamini_hochberg([float(str(record["p_value"])) for record in records]).tolist() if records else []
    listed = [{**record, "q_value": q} for record, q in zip(records, adjusted, strict=True)]
    return pa.Table.from_pylist(listed, schema=_PAIRS)


def _of_training(caveat: Caveat) -> bool:
    """Whether it is about the training split, which no gate speaks of unless it is named."""
    return caveat.text.startswith(_of("train"))


def _of(split: str) -> str:
    return f"split {split}: " if split else ""


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _spellings(counts: Counts) -> list[Caveat]:
    values = zip(*counts.groups, strict=True)
    return spelling_caveats(dict(zip(counts.attributes, values, strict=True)))


def _missing_values(split: str, rows: int, missing: Mapping[str, int]) -> list[Caveat]:
    return [
        Caveat(
            "fairness",
            f"{_of(split)}{count:,} of {rows:,} rows have no value of {attribute} and are the group {MISSING}",
            attribute,
        )
        for attribute, count in missing.items()
    ]


def _unjudged_groups(split: str, part: Inference) -> list[Caveat]:
    """Groups that have too few rows for any rate."""
    every: dict[str, list[MetricRow]] = defaultdict(list)
    for row in part.rates:
        if row.metric == "selection_rate" and row.group:
            every[row.attribute].append(row)
    caveats = []
    for attribute, rows in every.items():
        small = [row for row in rows if row.status != "ok"]
        if small:
            names = listed([f"{row.group} ({row.n})" for row in sorted(small, key=lambda row: -(row.n or 0))])
            are = "is" if len(small) == 1 else "are"
            text = f"{len(small)} of {len(rows)} groups of {attribute} {are} too small to be judged: {names}"
            caveats.append(Caveat("fairness", _of(split) + text, attribute))
    return caveats


def _unjudged_rates(split: str, part: Inference) -> list[Caveat]:
    """Rates without rows enough, of groups of one attribute that are otherwise large enough."""
    large = {(row.attribute, row.group) for row in part.rates if row.metric == "selection_rate" and row.status == "ok"}
    lacking: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in part.rates:
        place = (row.attribute, row.group)
        if row.group and JOIN not in row.attribute and row.status != "ok" and place in large:
            lacking[place].append(RATES[row.metric].among.removeprefix("rows with "))
    return [
        Caveat(
            "fairness",
            f"{_of(split)}{group} ({attribute}) has too few rows with {' or '.join(dict.fromkeys(kinds))}: rates over "
            "them are not judged",
            attribute,
        )
        for (attribute, group), kinds in lacking.items()
    ]
