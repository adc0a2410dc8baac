"""A fairness check made from counts alone: metrics, intervals and verdicts are those of the check of the rows.

Where small cells were withheld every margin is judged by what is published of it. A group that lacks a number is
`insufficient` in every metric, is named by every gap, and so keeps gates from passing; its numbers are null, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.check import ll144_part, policy_of
from auditkit.fairness.counting.counts import joined
from auditkit.fairness.counting.published import PublishedCounts, read_counts
from auditkit.fairness.counting.suppression import SuppressedCounts
from auditkit.fairness.groups.conclude import Conclusion, caveats_of, conclude, listed
from auditkit.fairness.groups.definitions import RATES
from auditkit.fairness.groups.inference import Inference, gaps_not_judged, infer
from auditkit.fairness.parts import counts_parts, scores_parts
from auditkit.fairness.result import FairnessCheck, Policy, make_check
from auditkit.fairness.settings import Options, Settings, settings_of

_NULL = ("n", "raw", "shrunken", "lower", "upper", "selected", "rate", "impact_ratio")


def check_counts(published: PublishedCounts | str | Path, **options: Unpack[Options]) -> FairnessCheck:
    """Check counts, or the file that holds them. Options as for `check_fairness` (reference, population, ll144, policy,
    minimum_group, replicates, confidence, seed), and with the same ones the result.

    Raises InputError for what is no file of counts, counts of one group only, and for Local Law 144 tables and shares
    of the population where small cells are withheld.

    >>> check_counts("people.counts.parquet", policy={"four_fifths": {"at_least": 0.8}})  # doctest: +SKIP
    """
    if isinstance(published, str | Path):
        published = read_counts(published)
    settings = settings_of(options)
    counts, where = published.counts, published.origin
    for attribute in counts.attributes:
        values = {group[counts.attributes.index(attribute)] for group in counts.groups}
        if len(values) < 2:
            raise InputError(
                f"{where}: sensitive column {attribute!r} has one value; groups are compared, so leave it out"
            )
    policy = policy_of(counts.attributes, options)
    conclusion: Conclusion
    if isinstance(counts, SuppressedCounts):
        if options.get("ll144") or options.get("population"):
            raise InputError(
                f"{where}: small cells are withheld, and tables of Local Law 144 and shares of the population need "
                "every count"
            )
        conclusion, parts = conclude_suppressed(counts, settings), []
    else:
        conclusion = conclude({"": counts}, settings, {"": counts.missing})
        parts = [*counts_parts(counts, settings, options.get("population") or {}), ll144_part(counts, options, where)]
    return make_check(
        conclusion,
        counts,
        [*_of_scores(published, settings, policy), *parts],
        policy,
        settings,
        positive=published.positive,
        classes=published.classes,
        where=where,
        label=published.label,
        caveats=published.caveats,
        score_counts=published.scores,
    )


def _of_scores(published: PublishedCounts, settings: Settings, policy: Policy) -> Iterator[Findings]:
    """What score counts tell, and what is told of the rows that were counted."""
    if published.scores is not None:
        yield from scores_parts(published.scores, published.counts, settings, policy)
        text = "the exact AUC needs every row's score; score_auc is made from bins of the score"
        yield Findings(caveats=[Caveat("fairness", text, "fairness/auc", "note")])
    if published.excluded:
        text = f"{published.excluded:,} rows were left out before these {published.counts.rows:,} were counted"
        yield Findings(caveats=[Caveat("fairness", text, "fairness")])


@dataclass(frozen=True)
class SuppressedConclusion(Conclusion):
    """What was concluded from counts with small cells withheld. incomplete: attribute → groups that lack a number."""

    incomplete: Mapping[str, frozenset[str]]

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """The tables of a conclusion; what they have no number for is null."""
        made = dict(super().tables)
        for name in ("shrunken", "four_fifths"):
            if name in made:
                made[name] = self._without(made[name])
        return made

    def _without(self, table: pa.Table) -> pa.Table:
        records = table.to_pylist()
        for record in records:
            if record["group"] in self.incomplete.get(record["attribute"], ()):
                record |= {name: None for name in _NULL if name in record}
                if "reason" in record:
                    record["reason"] = _reason(self.counts[self.judged])
        return pa.Table.from_pylist(records, schema=table.schema)


def conclude_suppressed(counts: SuppressedCounts, settings: Settings) -> SuppressedConclusion:
    """Conclude from what is published of every margin."""
    inferred, incomplete = _inferred(counts, settings)
    shown = replace(
        inferred, rates=[row for row in inferred.rates if row.group not in incomplete.get(row.attribute, ())]
    )
    caveats = caveats_of(counts, shown, counts.missing, withheld=_withheld_groups(counts, incomplete))
    return SuppressedConclusion({"": counts}, {"": inferred}, settings, caveats, incomplete)


def _inferred(counts: SuppressedCounts, settings: Settings) -> tuple[Inference, dict[str, frozenset[str]]]:
    """What each margin tells by itself, since margins with numbers withheld are no sums of each other."""
    found, incomplete = Inference(), dict[str, frozenset[str]]()
    for attributes in counts.margins:
        margin, name = counts.margin(attributes), joined(attributes)
        hidden = frozenset(margin.incomplete)
        incomplete[name] = hidden
        if margin.plain().rows == 0:
            if not attributes:
                raise InputError("so much is withheld that nothing is left to judge; withhold less, or merge groups")
            found.gaps += gaps_not_judged(margin, _reason(margin))
            continue
        part = infer(margin.plain(), settings, complete=False)
        if name in part.left_out:
            found.left_out.append(name)
            continue
        if not any(row.attribute == name for row in part.rates):
            continue
        for row, fraction in zip(part.rates, part.fractions, strict=True):
            if row.attribute == name:
                lacks = row.group in hidden
                found.rates.append(_withheld(row, margin) if lacks else row)
                found.fractions.append((None, None) if lacks else fraction)  # type: ignore[arg-type]
        found.derived += [
            _withheld(row, margin) if row.group in hidden else row for row in part.derived if row.attribute == name
        ]
        found.gaps += [row for row in part.gaps if row.attribute == name]
        found.against += [_of_everybody(row, bool(hidden)) for row in part.against if row.attribute == name]
        found.pairs += [pair for pair in part.pairs if pair["attribute"] == name]
        found.counts.append(margin)
        if attributes in part.effective:
            found.effective[attributes] = part.effective[attributes]
    return found, incomplete


def _withheld(row: MetricRow, margin: SuppressedCounts) -> MetricRow:
    """A row of an incomplete group: how many rows it has is told where that is published."""
    at, shown = margin.names.index(row.group), margin.shown
    whole = row.metric not in RATES or RATES[row.metric].denominator == RATES["selection_rate"].denominator
    n = int(shown.rows[at]) if whole and not shown.rows_withheld[at] else None
    return replace(row, n=n, reason=_reason(margin))


def _of_everybody(row: MetricRow, lacking: bool) -> MetricRow:
    """A distance to everybody has no value where somebody's numbers are withheld."""
    if not lacking or not row.metric.endswith("_to_overall"):
        return row
    reason = "numbers of some groups are withheld, so the rate of everybody in these groups is not known"
    return replace(row, value=None, lower=None, upper=None, confidence=None, status="insufficient", reason=reason)


def _reason(counts: object) -> str:
    limit = counts.smallest if isinstance(counts, SuppressedCounts) else ""
    return f"numbers of this group are withheld, so that none below {limit} can be computed"


def _withheld_groups(counts: SuppressedCounts, incomplete: Mapping[str, frozenset[str]]) -> list[Caveat]:
    """Per margin, how many groups are withheld and how many rows they hold, where that can be told."""
    caveats = []
    for attributes in counts.margins:
        name, margin = joined(attributes), counts.margin(attributes)
        if not incomplete.get(name):
            continue
        rows = counts.rows - int(margin.plain().rows)
        names = listed(sorted(incomplete[name]))
        of = f"{len(incomplete[name])} of {len(margin.groups)} groups of {name}" if name else "some numbers of all rows"
        named = f" ({names})" if name else ""
        text = (
            f"{of}{named} with {rows:,} of {counts.rows:,} rows are withheld, so that no number below "
            f"{counts.smallest} can be computed; they were not judged"
        )
        caveats.append(Caveat("fairness", text, name or "fairness"))
    return caveats
