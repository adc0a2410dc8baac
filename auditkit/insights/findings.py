"""What the insights leave as evidence: the tables `drivers` and `proxies`, and their metric rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.insights.drivers import Drivers, drivers
from auditkit.insights.explained import Explained
from auditkit.insights.proxies import (
    FOLDS,
    Proxy,
    category_codes,
    number_codes,
    proxies,
    representation,
)
from auditkit.spec import AuditSpec

NAME = "insights"
FEATURES = "penultimate features"
ENOUGH = 0.01
"""relative remainder above which a decomposition carries a caveat"""
DRIVERS = pa.schema(
    [
        ("attribute", pa.string()),
        ("group", pa.string()),
        ("reference", pa.string()),
        ("kind", pa.string()),
        ("column", pa.string()),
        ("contribution", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("mean", pa.float64()),
        ("reference_mean", pa.float64()),
        ("n", pa.int64()),
        ("reference_n", pa.int64()),
        ("target", pa.string()),
        ("method", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""kind: "gap" (of mean scores, with an interval of its own), "feature" and "remainder" (which add up to it, their
intervals simultaneous)"""
PROXIES = pa.schema(
    [
        ("attribute", pa.string()),
        ("groups", pa.list_(pa.string())),
        ("kind", pa.string()),
        ("column", pa.string()),
        ("auc", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("chance", pa.float64()),
        ("p", pa.float64()),
        ("adjusted", pa.float64()),
        ("found", pa.bool_()),
        ("share", pa.float64()),
        ("share_lower", pa.float64()),
        ("share_upper", pa.float64()),
        ("n", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""kind: "feature" or "representation" (all penultimate features together). share: of the attribution, null where
attribution does not say"""


def driver_findings(
    explained: Explained | str,
    split: str = "",
    groups: Mapping[str, npt.NDArray] | None = None,
    spec: AuditSpec | None = None,
    seed: Sequence[int] = (0,),
) -> Findings:
    """Every group of an attribute against its reference group; or, in place of what was explained, why there is none.

    groups: attribute → each explained row's group, [n]. The reference is the one that `fairness.reference` names, else
    the group with the most explained rows.
    """
    if isinstance(explained, str):
        row = MetricRow(NAME, "score_gap", split, status="not applicable", reason=explained)
        return Findings(metrics=[row])
    assert spec is not None
    findings, lines, rng = Findings(), [], np.random.default_rng(list(seed))
    confidence, minimum = spec.attribution.confidence, max(2, spec.fairness.minimum_group)
    for attribute, own in (groups or {}).items():
        sizes = {group: int((own == group).sum()) for group in sorted(set(own.tolist()))}
        named = spec.fairness.reference.get(attribute)
        reference = str(named if named in sizes else max(sizes, key=lambda group: sizes[group]))
        for group in sizes:
            if group == reference:
                continue
            told: dict[str, Any] = {
                "attribute": attribute,
                "group": group,
                "reference": reference,
                "n": sizes[group],
                "reference_n": sizes[reference],
                "target": explained.target,
                "method": explained.method,
            }
            few = min(group, reference, key=lambda name: sizes[name])
            if sizes[few] < minimum:
                reason = f"{few}: {sizes[few]} explained rows, fewer than {minimum}"
                lines.append(told | {"kind": "gap", "column": "", "status": "insufficient", "reason": reason})
                row = MetricRow(NAME, "score_gap", split, attribute, group, reference, status="insufficient",
                                reason=reason)  # fmt: skip
                findings.metrics.append(row)
                continue
            found = drivers(explained.values, explained.scores, own == group, own == reference, rng, confidence)
            lines += _driver_lines(told, explained.columns, found)
            findings.metrics += _driver_rows(told, explained.columns, found, split, confidence)
            if found.relative_remainder > ENOUGH:
                text = (
                    f"The contributions to the gap of {attribute} {group} to {reference} miss it by "
                    f"{found.relative_remainder:.1%}; a smaller attribution.tolerance closes it."
                )
                findings.caveats.append(Caveat(NAME, text, f"{NAME}/drivers"))
    findings.tables[f"{NAME}/drivers"] = pa.Table.from_pylist(lines, schema=DRIVERS)
    return findings


def _driver_lines(told: dict[str, Any], columns: Sequence[str], found: Drivers) -> list[dict[str, Any]]:
    told = told | {"status": "ok", "reason": ""}
    gap = {"contribution": found.gap, "lower": found.gap_lower, "upper": found.gap_upper}
    rest = {"contribution": found.remainder, "lower": found.remainder_lower, "upper": found.remainder_upper}
    features = [
        told
        | {
            "kind": "feature",
            "column": column,
            "contribution": float(found.contribution[place]),
            "lower": float(found.lower[place]),
            "upper": float(found.upper[place]),
            "mean": float(found.means[0, place]),
            "reference_mean": float(found.means[1, place]),
        }
        for place, column in enumerate(columns)
    ]
    return [
        told | gap | {"kind": "gap", "column": ""},
        *features,
        told | rest | {"kind": "remainder", "column": ""},
    ]


def _driver_rows(
    told: dict[str, Any], columns: Sequence[str], found: Drivers, split: str, confidence: float
) -> list[MetricRow]:
    row = partial(
        MetricRow,
        NAME,
        split=split,
        attribute=told["attribute"],
        group=told["group"],
        n=told["n"] + told["reference_n"],
    )
    against = f"against {told['reference']}"
    rows = [
        row(
            "score_gap", detail=against, value=found.gap, lower=found.gap_lower, upper=found.gap_upper,
            confidence=confidence, method="percentile bootstrap within groups",
        ),
        row("score_gap_remainder", detail=against, value=found.relative_remainder, unit="ratio", better="lower"),
    ]  # fmt: skip
    for place, column in enumerate(columns):
        rows.append(
            row(
                "score_gap_driver",
                detail=f"{against} · {column}",
                value=float(found.contribution[place]),
                lower=float(found.lower[place]),
                upper=float(found.upper[place]),
                confidence=confidence,
                method="bootstrap within groups, simultaneous over all contributions",
            )
        )
    return rows


def proxy_findings(
    columns: Mapping[str, npt.NDArray],
    features: npt.NDArray | None,
    groups: Mapping[str, npt.NDArray],
    shares: Mapping[str, Mapping[str, Any]],
    split: str,
    spec: AuditSpec,
    seed: Sequence[int],
) -> Findings:
    """How well each column, and the penultimate features, tell the groups of every attribute apart.

    columns: name → values [n], numbers or categories. groups: attribute → each row's group, [n]. Groups of fewer rows
    than `fairness.minimum_group` are left out; a column that is the attribute itself is no proxy of it.
    """
    findings, lines, confidence = Findings(), [], spec.attribution.confidence
    codes = {
        name: number_codes(values) if values.dtype.kind == "f" else category_codes(values)
        for name, values in columns.items()
    }
    minimum = max(spec.fairness.minimum_group, 2 * FOLDS)
    for attribute, own in groups.items():
        sizes = {group: int((own == group).sum()) for group in sorted(set(own.tolist()))}
        judged = [group for group, size in sizes.items() if size >= minimum]
        left = [f"{group} ({size})" for group, size in sizes.items() if size < minimum]
        told: dict[str, Any] = {"attribute": attribute, "groups": judged}
        if len(judged) < 2:
            reason = f"fewer than two groups of {attribute} have {minimum} rows"
            lines.append(told | {"kind": "feature", "column": "", "status": "insufficient", "reason": reason})
            findings.metrics.append(MetricRow(NAME, "proxy_auc", split, attribute, status="insufficient",
                                              reason=reason))  # fmt: skip
            continue
        if left:
            text = f"Proxies of {attribute} were looked for without {', '.join(left)}: fewer than {minimum} rows."
            findings.caveats.append(Caveat(NAME, text, f"{NAME}/proxies", "note"))
        kept = np.isin(own, judged)
        which = np.searchsorted(judged, own[kept].astype(str)).astype(np.int64)
        rng = np.random.default_rng([*seed, len(lines)])
        found: dict[tuple[str, str], Proxy] = {
            ("feature", name): proxy
            for name, proxy in proxies(
                {name: value[kept] for name, value in codes.items() if name != attribute}, which, rng, confidence
            ).items()
        }
        if features is not None and np.isfinite(features).all():
            found["representation", FEATURES] = representation(features[kept], which, rng, confidence)
        for (kind, column), proxy in found.items():
            known = shares.get(column, {}) if kind == "feature" else {}
            used = {"share": known.get("share"), "share_lower": known.get("lower"), "share_upper": known.get("upper")}
            lines.append(told | used | _proxy_line(kind, column, proxy, len(which)))
            findings.metrics.append(
                MetricRow(
                    NAME,
                    "proxy_auc" if kind == "feature" else "representation_auc",
                    split,
                    attribute,
                    detail=column,
                    value=proxy.auc,
                    lower=proxy.lower,
                    upper=proxy.upper,
                    confidence=confidence,
                    n=len(which),
                    better="lower",
                    method=f"area under the ROC curve, {FOLDS}-fold cross-validation, intervals of the folds joined",
                )
            )
    findings.tables[f"{NAME}/proxies"] = pa.Table.from_pylist(lines, schema=PROXIES)
    return findings


def _proxy_line(kind: str, column: str, proxy: Proxy, n: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "column": column,
        "auc": proxy.auc,
        "lower": proxy.lower,
        "upper": proxy.upper,
        "chance": proxy.chance,
        "p": proxy.p,
        "adjusted": proxy.adjusted,
        "found": proxy.found,
        "n": n,
        "status": "ok",
        "reason": "",
    }
