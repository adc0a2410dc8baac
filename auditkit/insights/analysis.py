"""Insights as an analysis: it comes last, reads what the other disciplines left, and adds what joins them.

* **Drivers** need the attributions of each explained row (`attribution/explanations`, `attribution/rows`) and the
  people's groups. They are stated where every row was explained against one baseline, for one target, column by column.
* **Proxies** need rows, not explanations: a seeded sample of the explained split, with its columns as they are and its
  penultimate features from the one pass. How much the model uses a column comes from `attribution/global`.

What is missing is said, with the reason: an insight is never drawn from less than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.engine.analysis import Context, Needs, Observation, Observer
from auditkit.evidence.metrics import Caveat, Findings
from auditkit.insights.explained import NotExplainedError, explained_columns, shares_of_columns
from auditkit.insights.findings import driver_findings, proxy_findings
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import category_values, numeric_values
from auditkit.subject.subject import Subject

NAME = "insights"
DRAW, BOOTSTRAP, DEALT = 610, 611, 612
"""streams of the audit's seed"""
ROWS = 4_000
"""at most so many rows of the split are told apart by their features"""


class Sampled:
    """The penultimate features of a sample of rows."""

    def __init__(self, rows: npt.NDArray) -> None:
        self.wanted = rows
        self.found: dict[int, npt.NDArray] = {}

    def update(self, observation: Observation) -> None:
        """Take in one batch."""
        if observation.features is None:
            return
        places = np.flatnonzero(np.isin(observation.rows, self.wanted))
        if not len(places):
            return
        features = observation.features[places].float().cpu().numpy()
        self.found |= dict(zip(observation.rows[places].tolist(), features, strict=True))

    def merge(self, other: Sampled) -> None:
        """Take in what another observer saw."""
        self.found |= other.found

    def features(self) -> npt.NDArray | None:
        """[rows, width] in the order of the sample; None where the model has no penultimate layer."""
        if len(self.found) < len(self.wanted):
            return None
        return np.stack([self.found[row] for row in self.wanted.tolist()])


class InsightsAnalysis:
    """Which features drive the gap between groups, and which give a sensitive attribute away."""

    name = NAME
    title = "Insights"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        asked = bool(subject.schema.sensitive) and "model" not in subject.model.lacks
        return Needs(features=asked and subject.model.penultimate is not None)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        return Sampled(_sample(context, split)) if split.name == context.spec.attribution.split else None

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        findings = Findings()
        split = context.subject.split(context.spec.attribution.split)
        if split is None or not split.schema.sensitive:
            reason = (
                "there are no sensitive columns, so that there are no groups to compare"
                if split
                else f"there is no split {context.spec.attribution.split!r}"
            )
            findings.metrics += driver_findings(reason).metrics
            return findings
        found = self._drivers(context, split), self._proxies(context, split, observers)
        for part in found:
            findings.metrics += part.metrics
            findings.tables |= part.tables
            findings.caveats += part.caveats
        return findings

    def _drivers(self, context: Context, split: Split) -> Findings:
        try:
            explained = explained_columns(context.evidence)
        except NotExplainedError as problem:
            return driver_findings(str(problem), split.name)
        groups = {
            attribute: np.array(category_values(split, attribute, explained.rows).to_pylist(), dtype=object)
            for attribute in split.schema.sensitive
        }
        return driver_findings(explained, split.name, groups, context.spec, [context.spec.seed, BOOTSTRAP])

    def _proxies(self, context: Context, split: Split, observers: Mapping[str, Observer]) -> Findings:
        rows = _sample(context, split)
        columns = _columns(split, rows) if context.subject.model.preprocessing.modality == "table" else {}
        observer = observers.get(split.name)
        features = observer.features() if isinstance(observer, Sampled) else None
        groups = {
            attribute: np.array(category_values(split, attribute, rows).to_pylist(), dtype=object)
            for attribute in split.schema.sensitive
        }
        if not columns and features is None:
            text = "Proxies were not looked for: the rows are no table and the model shows no penultimate features."
            return Findings(caveats=[Caveat(NAME, text, f"{NAME}/proxies", "note")])
        shares: dict[str, dict[str, Any]] = shares_of_columns(context.evidence)
        return proxy_findings(columns, features, groups, shares, split.name, context.spec, [context.spec.seed, DEALT])


def _columns(split: Split, rows: npt.NDArray) -> dict[str, npt.NDArray]:
    """The columns that the model is given, as they are: numbers float64, all else as text."""
    found: dict[str, npt.NDArray] = {}
    for name in split.schema.features:
        kind = split.column(name).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            found[name] = numeric_values(split, name, rows)
        else:
            found[name] = np.array(category_values(split, name, rows).to_pylist(), dtype=object)
    return found


def _sample(context: Context, split: Split) -> npt.NDArray:
    """The rows that are told apart: all, or a seeded draw, in order."""
    if len(split) <= ROWS:
        return np.arange(len(split))
    return np.sort(np.random.default_rng([context.spec.seed, DRAW]).choice(len(split), ROWS, replace=False))
