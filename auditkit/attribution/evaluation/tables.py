"""What an audit keeps of evaluations: every figure, the curves, the quorum, and the metric rows that gates can use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import pyarrow as pa

from auditkit.attribution.evaluation.agreement import Floats, sign_agreement, top_agreement
from auditkit.attribution.evaluation.assessment import Assessment, CurvePoint
from auditkit.attribution.evaluation.estimate import Estimate, estimate
from auditkit.attribution.evaluation.nulls import OWN
from auditkit.attribution.evaluation.quorum import Measurement
from auditkit.evidence.metrics import Better, Caveat, MetricRow

NAME = "attribution"
FIGURES = [("value", pa.float64()), ("lower", pa.float64()), ("upper", pa.float64()), ("n", pa.int64())]
EVALUATION = pa.schema(
    [("method", pa.string()), ("metric", pa.string()), ("of", pa.string()), *FIGURES, ("reason", pa.string())]
)
CURVES = pa.schema(
    [("method", pa.string()), ("curve", pa.string()), ("of", pa.string()), ("share", pa.float64()), *FIGURES]
)
QUORUM = pa.schema(
    [("method", pa.string()), ("check", pa.string()), ("status", pa.string()), *FIGURES, ("reason", pa.string())]
)
METRICS: dict[str, tuple[str, Better, str]] = {
    "deletion": ("deletion_area", "lower", "ratio"),
    "insertion": ("insertion_area", "higher", "ratio"),
    "faithfulness": ("faithfulness", "higher", "ratio"),
    "infidelity": ("infidelity", "lower", "rate"),
    "randomisation": ("randomisation", "lower", ""),
    "sensitivity": ("max_sensitivity", "lower", "rate"),
    "stability": ("seed_stability", "higher", ""),
}
"""measured → (metric, which direction is better, unit)"""
BOOTSTRAP = "percentile bootstrap over evaluated rows"


def evaluation_table(found: Mapping[str, Assessment]) -> pa.Table:
    """One line per method, metric, and attribution or null."""
    lines = [{"method": name} | line for name, part in found.items() for line in measured_records(part.measured)]
    return pa.Table.from_pylist(lines, schema=EVALUATION)


def curve_table(found: Mapping[str, Assessment]) -> pa.Table:
    """One line per method, curve, attribution or null, and share of parts."""
    lines = [line for name, part in found.items() for line in curve_records(name, part.curves)]
    return pa.Table.from_pylist(lines, schema=CURVES)


def quorum_table(found: Mapping[str, Assessment]) -> pa.Table:
    """One line per method and check, and one with the verdict (check "verdict"), each with what was measured."""
    lines = []
    for name, part in found.items():
        for check in part.checks:
            line = {"method": name, "check": check.name, "status": check.status, "reason": check.reason}
            lines.append(line | _figures(_decisive(part, check.name)))
        verdict = {"method": name, "check": "verdict", "status": part.verdict, "reason": " ".join(part.reasons)}
        lines.append(verdict | {"n": part.rows})
    return pa.Table.from_pylist(lines, schema=QUORUM)


def _decisive(part: Assessment, check: str) -> Estimate | None:
    """What a check rests on: of faithfulness the smallest gain over a null."""
    metric, of = ("gain", None) if check == "faithfulness" else (check, OWN)
    known = [m.estimate for m in part.measured if m.metric == metric and of in (None, m.of) and m.estimate]
    return min(known, key=lambda found: found.value, default=None)


def measured_records(measured: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Measurements as plain records; what was not measured has null in place of a number."""
    return [
        {"metric": part.metric, "of": part.of, **_figures(part.estimate), "reason": part.reason} for part in measured
    ]


def curve_records(method: str, points: Sequence[CurvePoint]) -> list[dict[str, Any]]:
    """Points of curves as plain records."""
    return [
        {"method": method, "curve": point.curve, "of": point.of, "share": point.share, **_figures(point.estimate)}
        for point in points
    ]


def _figures(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {"value": None, "lower": None, "upper": None, "n": 0}
    return {"value": found.value, "lower": found.lower, "upper": found.upper, "n": found.n}


def evaluation_rows(found: Mapping[str, Assessment], split: str, confidence: float) -> list[MetricRow]:
    """Each method's figures, and whether it is believable (1 or 0; insufficient where that is undecided)."""
    rows = []
    for name, part in found.items():
        for measured in part.measured:
            if measured.of != OWN or measured.metric not in METRICS:
                continue
            metric, better, unit = METRICS[measured.metric]
            row = partial(MetricRow, NAME, metric, split, detail=name, better=better, unit=unit)
            known = measured.estimate
            if known is None:
                rows.append(row(status="not applicable", reason=measured.reason))
                continue
            rows.append(_valued(row, known, confidence))
        verdict = partial(MetricRow, NAME, "believable", split, detail=name, better="higher", n=part.rows)
        if part.verdict == "undecided":
            rows.append(verdict(status="insufficient", reason=" ".join(part.reasons)))
        else:
            rows.append(verdict(value=float(part.verdict == "believable"), reason=" ".join(part.reasons)))
    return rows


def _valued(row: Callable[..., MetricRow], known: Estimate, confidence: float) -> MetricRow:
    return row(
        value=known.value,
        lower=known.lower,
        upper=known.upper,
        confidence=confidence,
        n=known.n,
        method=BOOTSTRAP,
    )


def pair_rows(
    values: Mapping[str, Floats], signed: Mapping[str, bool], split: str, confidence: float, seed: int
) -> list[MetricRow]:
    """For each pair of methods how far they name the same weightiest parts, and with the same sign.

    values: [n, parts] by method. signed: whether a method tells signs; pairs in which one does not have no signs to
    compare. detail is `method · method`.
    """
    rows = []
    for first, second in combinations(values, 2):
        measures = {"top_agreement": top_agreement}
        if signed[first] and signed[second]:
            measures["sign_agreement"] = sign_agreement
        for metric, measure in measures.items():
            row = partial(MetricRow, NAME, metric, split, detail=f"{first} · {second}", unit="rate", better="higher")
            known = estimate(measure(values[first], values[second]), None, confidence, seed)
            if known is None:
                rows.append(row(status="not applicable", reason="neither method attributes anything to any part"))
                continue
            rows.append(_valued(row, known, confidence))
    return rows


def verdict_caveats(found: Mapping[str, Assessment]) -> list[Caveat]:
    """A warning for every method that is not believable, with what failed."""
    caveats = []
    for name, part in found.items():
        if part.verdict == "not believable":
            failed = [check.reason for check in part.checks if check.status == "fail"]
            caveats.append(Caveat(NAME, " ".join([part.reasons[0], *failed]), f"{NAME}/{name}"))
    return caveats
