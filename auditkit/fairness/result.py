"""What a check found: its numbers, tables, caveats and verdict, in one object whatever was checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow, to_table
from auditkit.evidence.section import Section
from auditkit.evidence.verdict import GateResult, Verdict
from auditkit.fairness import frames
from auditkit.fairness.counting.counts import Counts
from auditkit.fairness.groups.conclude import Conclusion
from auditkit.fairness.groups.draws import MAXIMUM_INTERSECTION, Design
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.gates import judge, overall, passes
from auditkit.spec import Gate
from auditkit.theme import VERDICTS, verdict_label

if TYPE_CHECKING:
    import pandas as pd

    from auditkit.fairness.mitigation.frontier import Frontier
    from auditkit.fairness.release import ReleaseCheck

Policy = dict[str, list[Gate]]


class MetricRows(list[MetricRow]):
    """Metric rows, one number each; as a data frame when asked for."""

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return to_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame."""
        return to_table(self).to_pandas()


@dataclass(frozen=True, kw_only=True)
class Check:
    """What every check has. `metrics` are all numbers, `results` the gates held against them, `verdict` their outcome.

    size: rows checked. where: what was checked, in words. added: tables of its parts, by name.
    """

    metrics: MetricRows
    caveats: list[Caveat]
    results: list[GateResult]
    policy: Policy
    settings: Settings
    size: int
    where: str = "predictions"
    added: Mapping[str, pa.Table] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """pass, fail, inconclusive, or missing where the policy has no gate."""
        return overall(self.results)

    @property
    def exit_code(self) -> int:
        """0 where no gate blocks, else 1."""
        return 0 if passes(self.results) else 1

    @property
    def rows(self) -> list[MetricRow]:
        """The metric rows, under the name that evidence has for them."""
        return self.metrics

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The tables behind the numbers, by name."""
        return dict(self.added)

    def table(self, name: str) -> pa.Table | None:
        """A table by its name in evidence (`fairness/rates`), or None."""
        return self.tables.get(name.removeprefix("fairness/"))

    def findings(self) -> Findings:
        """The findings, as an audit keeps them."""
        return Findings(metrics=list(self.metrics), tables=dict(self.tables), caveats=list(self.caveats))

    def sections(self) -> list[Section]:
        """The findings as sections with a figure each."""
        from auditkit.fairness.view import sections

        return sections(self)

    @property
    def disparities(self) -> pd.DataFrame:
        """The gaps by attribute, with intervals."""
        return frames.disparities(self.metrics)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The sections' figures by key."""
        return {section.key: section.figure for section in self.sections() if section.figure is not None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.verdict}, {self.size:,} rows, {len(self.metrics)} numbers)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(result.gate)}</td><td>{escape(result.subject)}</td>"
            f"<td>{escape(verdict_label(result.verdict))}</td><td>{escape(result.reason)}</td></tr>"
            for result in self.results
        )
        notes = "".join(f"<li>{escape(caveat.text)}</li>" for caveat in self.caveats)
        return (
            f"<div><strong>Fairness of {escape(self.where)}</strong> "
            f"<strong style='color:{VERDICTS[self.verdict][1]}'>{escape(verdict_label(self.verdict))}</strong> "
            f"<span>{self.size:,} rows, {len(self.metrics)} numbers</span>"
            f"<table><tr><th>gate</th><th>of</th><th>verdict</th><th>why</th></tr>{rows}</table><ul>{notes}</ul></div>"
        )


@dataclass(frozen=True, kw_only=True)
class FairnessCheck(Check):
    """What was found about decisions.

    noted: what was noted before anything was counted. counts: rows by group, label and decision, over all attributes.
    design: how rows were drawn, where not one by one.
    release: what changed since the last release, where its decisions were given. score_counts: rows by group, label and
    score, where scores were given that are probabilities.
    """

    conclusion: Conclusion
    noted: tuple[Caveat, ...]
    counts: Counts
    positive: str
    classes: tuple[str, ...]
    design: Design | None = None
    release: ReleaseCheck | None = None
    score_counts: ScoreCounts | None = None

    @property
    def tables(self) -> dict[str, pa.Table]:
        """`counts`, `rates`, `gaps`, `pairs`, `shrunken`, `four_fifths`, and those of scores, gates and other parts."""
        return {**self.conclusion.tables, **self.score_tables, **self.gate_tables, **self.added}

    @cached_property
    def gate_tables(self) -> dict[str, pa.Table]:
        """What the policy adds: `verdict_sensitivity`, the share of wrong labels or groups that each verdict stands."""
        from auditkit.fairness.sensitivity.verdicts import verdicts_table

        return {"verdict_sensitivity": verdicts_table(self.counts, self.metrics, self.policy, self.settings)}

    @cached_property
    def score_tables(self) -> dict[str, pa.Table]:
        """What scores add: `score_counts`, `reliability`, `score_curves`, `multicalibration`, `cross_auc`."""
        if self.score_counts is None:
            return {}
        from auditkit.fairness.scores.evidence import score_tables

        return score_tables({"": self.score_counts}, self.settings)

    @property
    def overall(self) -> pd.Series:
        """Each metric over everybody, as fairlearn's `MetricFrame.overall`."""
        return frames.overall(self.metrics)

    @property
    def by_group(self) -> pd.DataFrame:
        """Each group's metrics over all attributes crossed, as fairlearn's `MetricFrame.by_group`; NaN: not judged."""
        return self._by_group("value")

    @property
    def intervals(self) -> pd.DataFrame:
        """Lower and upper ends of `by_group`, under a second level of columns."""
        import pandas as pd

        ends = {end: self._by_group(end) for end in ("lower", "upper")}
        return pd.concat(ends, axis=1).swaplevel(axis=1).sort_index(axis=1)

    def _by_group(self, field: str) -> pd.DataFrame:
        groups = self.counts.completed(MAXIMUM_INTERSECTION).groups
        return frames.by_group(self.metrics, self.counts.attributes, groups, field)

    def frontier(self, metric: str, threshold: float = 0.5) -> Frontier:
        """The best accuracy for each allowed gap, with one threshold per group, over all attributes crossed.

        metric: `demographic_parity_difference`, `equal_opportunity_difference` or `equalized_odds_difference`;
        threshold: today's. Fitted on the rows of the check: hold a policy against other rows before trusting it
        (`auditkit.fairness.mitigation.held_out.evaluate`). Raises InputError where no probabilities were given.
        """
        if self.score_counts is None:
            raise InputError(f"{self.where}: a frontier needs scores from 0 to 1; give them as scores=")
        from auditkit.fairness.mitigation.frontier import frontier

        return frontier(self.score_counts, metric, threshold, minimum_group=self.settings.minimum_group)


def make_check(
    conclusion: Conclusion,
    counts: Counts,
    parts: Sequence[Findings],
    policy: Policy,
    settings: Settings,
    *,
    positive: str,
    classes: Sequence[str],
    where: str,
    label: str,
    caveats: Sequence[Caveat] = (),
    design: Design | None = None,
    release: ReleaseCheck | None = None,
    score_counts: ScoreCounts | None = None,
) -> FairnessCheck:
    """A check of decisions, and its policy held against all of its numbers.

    parts: what was found besides the conclusion. caveats: what was noted before anything was counted.
    """
    rows = [*conclusion.metrics, *(row for part in parts for row in part.metrics)]
    return FairnessCheck(
        metrics=MetricRows(rows),
        caveats=[*caveats, *conclusion.caveats, *(caveat for part in parts for caveat in part.caveats)],
        results=judge(rows, policy),
        policy=policy,
        settings=settings,
        size=counts.rows,
        where=where,
        added=tables_of(parts),
        info=info_of(where, label, counts.attributes, classes, positive),
        conclusion=conclusion,
        noted=tuple(caveats),
        counts=counts,
        positive=positive,
        classes=tuple(classes),
        design=design,
        release=release,
        score_counts=score_counts,
    )


def tables_of(parts: Sequence[Findings]) -> dict[str, pa.Table]:
    """The tables of all parts; those of one name are one below the other."""
    found: dict[str, list[pa.Table]] = {}
    for part in parts:
        for name, table in part.tables.items():
            found.setdefault(name, []).append(table)
    return {name: tables[0] if len(tables) == 1 else pa.concat_tables(tables) for name, tables in found.items()}


def info_of(
    where: str, label: str, attributes: Sequence[str], classes: Sequence[str] = (), positive: str | None = None
) -> dict[str, Any]:
    """What a view may know about what was checked."""
    schema = {
        "features": [],
        "classes": list(classes),
        "label": label,
        "positive": positive,
        "sensitive": list(attributes),
    }
    return {"name": where, "schema": schema}
