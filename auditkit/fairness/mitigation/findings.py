"""What would fix the gaps of a check, and at what cost: frontiers, the cheapest change for every gate, who is moved.

Policies are fitted on `fit` and judged on `held_out`, other rows. The cheapest change for a gate is not the policy
whose gap just meets the limit on the fitted rows: on others about half of those lie beyond it, and a gate asks for the
whole interval within. It is the loosest policy that leaves room for the interval that as many held-out rows will have,
and for chance, so that the gate should pass four times in five. Policies that give up more than half of what the
scores add to one decision for everybody are no fix and are left aside. It is chosen on the fitted rows alone and then
held against the held-out rows once, so that its verdict there is that of any other decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.counting.counts import JOIN, Group, joined
from auditkit.fairness.groups.definitions import GAPS
from auditkit.fairness.mitigation.changes import accuracy_change_row, change_of_accuracy, who_changes
from auditkit.fairness.mitigation.frontier import Choice, Fitting
from auditkit.fairness.mitigation.held_out import FEWER_REPLICATES, Outcome, outcome
from auditkit.fairness.mitigation.policy import KINDS, Policy
from auditkit.fairness.mitigation.tables import CHEAPEST_CHANGE, FRONTIER, WHO_CHANGES, steps_of, told
from auditkit.fairness.mitigation.targets import METRICS, SHOWN
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.gates import judge
from auditkit.spec import Gate

POINTS, GRID = 8, 24
MOST_GROUPS = 40
POWER = 0.8


def mitigation_findings(
    fit: ScoreCounts,
    held_out: ScoreCounts,
    threshold: float,
    settings: Settings,
    gates: Mapping[str, Sequence[Gate]] | None = None,
    split: str = "",
) -> Findings:
    """Frontiers by attribute, the cheapest change for every gate on a gap, and who it moves.

    fit, held_out: score counts over all attributes, of different rows (see `held_out.halves` where there is one set).
    threshold: today's, for all. gates: a policy; those on gaps of selection, true and false positive rates count.
    split: the name of the held-out rows. Tables: `frontier`, `cheapest_change`, `who_changes`. Metric rows
    `cheapest_change_accuracy`: what the change does to accuracy. What could not be judged is a caveat.
    """
    found = Findings()
    lines: dict[str, list[dict[str, object]]] = {"frontier": [], "cheapest_change": [], "who_changes": []}
    wanted = _wanted(fit.attributes, gates or {}, split)
    for attributes in dict.fromkeys([*((name,) for name in fit.attributes), *(names for names, _, _ in wanted)]):
        one = _Attribute(fit.margin(attributes), held_out.margin(attributes), threshold, settings, split)
        if (many := len(one.fit.groups)) > MOST_GROUPS:
            text = f"no other thresholds were looked for by {one.name}: it has {many} groups, more than {MOST_GROUPS}"
            found.caveats.append(Caveat("fairness", text, "fairness/frontier", "note"))
            continue
        for metric in SHOWN:
            _attempt(
                found, f"{joined(attributes)}, {GAPS[metric].title}", lambda m=metric, o=one: _frontier(o, m, lines)
            )
        for names, metric, gate in wanted:
            if names == attributes:
                _attempt(
                    found,
                    f"{joined(attributes)}, {GAPS[metric].title}",
                    lambda m=metric, g=gate, o=one: found.metrics.extend(_cheapest(o, m, g, lines)),
                )
    schemas = {"frontier": FRONTIER, "cheapest_change": CHEAPEST_CHANGE, "who_changes": WHO_CHANGES}
    found.tables = {
        name: pa.Table.from_pylist(records, schema=schemas[name]) for name, records in lines.items() if records
    }
    found.caveats = list(dict.fromkeys(found.caveats))
    return found


def _attempt(found: Findings, what: str, work: object) -> None:
    assert callable(work)
    try:
        work()
    except InputError as problem:
        text = f"no other thresholds were looked for ({what}): {problem}"
        found.caveats.append(Caveat("fairness", text, "fairness/frontier", "note"))


def _wanted(
    attributes: Sequence[str], gates: Mapping[str, Sequence[Gate]], split: str
) -> list[tuple[tuple[str, ...], str, Gate]]:
    """(attributes, metric, gate with that limit) of every gate on these rows that thresholds can be chosen for."""
    listed = []
    for name, conditions in gates.items():
        metric = name.removeprefix("fairness/")
        for gate in [conditions] if isinstance(conditions, Gate) else conditions:
            if metric not in METRICS or (gate.at_most is None) != (GAPS[metric].kind == "ratio"):
                continue
            if gate.split not in (None, split):
                continue
            for of in gate.of or attributes:
                names = tuple(of.split(JOIN))
                if set(names) <= set(attributes):
                    listed.append((names, metric, gate.model_copy(update={"of": [of]})))
    return listed


@dataclass(frozen=True)
class _Attribute:
    """Score counts over one attribute, or several crossed: what policies are fitted on and judged on."""

    fit: ScoreCounts
    held_out: ScoreCounts
    threshold: float
    settings: Settings
    split: str

    @property
    def name(self) -> str:
        return joined(self.fit.attributes)

    def fitting(self, metric: str, kind: str) -> Fitting:
        return Fitting(self.fit, metric, self.threshold, self.settings.minimum_group, kind)  # type: ignore[arg-type]

    def outcome(self, policy: Policy, metrics: Sequence[str], quick: bool = False) -> Outcome:
        return self._on(self.held_out, policy, metrics, self.fit.groups, quick)

    def fitted_outcome(self, policy: Policy, metric: str) -> MetricRow:
        """The gap on the fitted rows, with its interval."""
        return self._on(self.fit, policy, [metric], (), True).gaps[metric]

    def _on(
        self, counts: ScoreCounts, policy: Policy, metrics: Sequence[str], fitted: Sequence[Group], quick: bool
    ) -> Outcome:
        settings = self.settings
        if quick:
            settings = replace(settings, replicates=min(FEWER_REPLICATES, settings.replicates))
        return outcome(policy.moved(counts, self.threshold), metrics, settings, self.split, fitted)


def _numbers(outcome: Outcome, metric: str, confidence: float) -> dict[str, object]:
    gap, accuracy = outcome.gaps[metric], outcome.accuracy
    ok = accuracy.status == "ok"
    change = change_of_accuracy(outcome.moved, confidence) if ok else (None, None, None)
    return {
        "gap": gap.value, "gap_lower": gap.lower, "gap_upper": gap.upper,
        "accuracy": accuracy.value, "accuracy_lower": accuracy.lower, "accuracy_upper": accuracy.upper,
        "accuracy_change": change[0], "accuracy_change_lower": change[1], "accuracy_change_upper": change[2],
        "n": accuracy.n, "unjudged": list(gap.unjudged),
    }  # fmt: skip


def _frontier(one: _Attribute, metric: str, lines: dict[str, list[dict[str, object]]]) -> None:
    fitting = one.fitting(metric, KINDS[0])
    limits = fitting.limits(POINTS)
    head = {"attribute": one.name, "split": one.split, "metric": metric}

    def add(choice: Choice, policy: str, allowed: float | None) -> None:
        brought = one.outcome(choice.policy, [metric], quick=True)
        lines["frontier"].append(
            {
                **head,
                "policy": policy,
                "allowed": allowed,
                "fit_gap": choice.gap,
                "fit_accuracy": choice.accuracy,
                "fit_most": choice.most,
                **_numbers(brought, metric, one.settings.confidence),
                "reason": brought.gaps[metric].reason,
                "steps": steps_of(choice.policy),
            }
        )

    add(fitting.today, "today", None)
    for kind in KINDS:
        own = one.fitting(metric, kind)
        for choice in filter(own.is_useful, own.best(limits)):
            add(choice, kind, choice.limit)


def _cheapest(one: _Attribute, metric: str, gate: Gate, lines: dict[str, list[dict[str, object]]]) -> list[MetricRow]:
    """Lines for the cheapest change of either kind that should turn a gate green."""
    gap = GAPS[metric]
    limit = gate.at_most if gate.at_most is not None else gate.at_least
    assert limit is not None
    shown = next((name for name in SHOWN if GAPS[name].rates == gap.rates), metric)
    metrics = list(dict.fromkeys([metric, shown]))
    today = one.outcome(one.fitting(metric, KINDS[0]).today.policy, metrics)
    (before,) = judge([today.gaps[metric]], {metric: gate})
    head: dict[str, object] = {"attribute": one.name, "split": one.split, "metric": metric, "limit": limit}
    rows = []
    for kind in KINDS if before.verdict != "pass" else ("today",):
        if kind == "today":
            brought, policy, aimed, room = today, one.fitting(metric, KINDS[0]).today.policy, None, True
        else:
            choice, room = _aimed(one, metric, limit, kind)
            policy, aimed = choice.policy, choice.limit
            brought = one.outcome(policy, metrics)
        (after,) = judge([brought.gaps[metric]], {metric: gate})
        marked = brought.gaps[shown]
        people = brought.moved.cells.sum(axis=(0, 1))
        lines["cheapest_change"].append(
            {
                **head,
                "policy": kind,
                "aimed": aimed,
                "today_gap": today.gaps[metric].value,
                "today_verdict": before.verdict,
                "verdict": after.verdict,
                "verdict_reason": after.reason,
                **_numbers(brought, metric, one.settings.confidence),
                "shown_metric": shown,
                "shown_gap": marked.value,
                "shown_lower": marked.lower,
                "shown_upper": marked.upper,
                "gained": int(people[0, 1]),
                "lost": int(people[1, 0]),
                "room": room,
                "steps": steps_of(policy),
            }
        )
        if kind == "today":
            continue
        detail = f"{gap.title} {'at least' if gate.at_most is None else 'at most'} {limit:g}, {kind}"
        rows.append(accuracy_change_row(brought.moved, one.settings, "cheapest_change_accuracy", one.split, detail))
        named = policy.named
        lines["who_changes"] += [
            {**head, "policy": kind, "threshold": told(named.get(str(who["group"]), ((policy.otherwise, 1.0),))), **who}
            for who in who_changes(brought.moved, one.settings.confidence)
        ]
    return rows


def _aimed(one: _Attribute, metric: str, limit: float, kind: str) -> tuple[Choice, bool]:
    """The loosest policy that leaves room for the held-out interval, and whether there is one; else the strictest."""
    fitting = one.fitting(metric, kind)
    difference = fitting.gap.kind == "difference"
    strict = np.linspace(0.0, limit, GRID) if difference else np.linspace(1.0, limit, GRID)
    every = fitting.best(strict.tolist())
    choices = [choice for choice in every if fitting.is_useful(choice)] or every[-1:]
    normal = NormalDist()
    wider = float(np.sqrt(one.fit.rows / max(1, one.held_out.rows)))
    chance = normal.inv_cdf(POWER) / normal.inv_cdf(0.5 + one.settings.confidence / 2)
    planned = wider + chance * float(np.hypot(1, wider))  # held-out interval, and what chance does to both gaps

    def fits(choice: Choice) -> bool:
        row = one.fitted_outcome(choice.policy, metric)
        if row.value is None or row.lower is None or row.upper is None:
            return False
        if difference:
            return row.value + planned * (row.upper - row.value) <= limit
        return row.value - planned * (row.value - row.lower) >= limit

    low, high = -1, len(choices) - 1  # choices[: low + 1] fit, as stricter ones do
    if fits(choices[high]):
        return choices[high], True
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(choices[middle]) else (low, middle)
    return (choices[low], True) if low >= 0 else (choices[0], False)
