"""The comparison as evidence: metric rows, tables, what was measured anew, and caveats.

Metrics: every figure under its own name for each model, and `<figure>_change` for each variant, with `detail` the
variant (and the detector). Tables: `models` (what each is and how large), `differences` (all of them), `churn`.
Measured: `speed` and `energy`, which stand outside the digest of results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.energy.inference import Block, Estimate, joules_per_1000
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.spec import AuditSpec
from auditkit.statistics.intervals import wilson
from auditkit.subject.subject import Subject
from auditkit.variants.answers import Answers
from auditkit.variants.differences import Compared
from auditkit.variants.size import Size
from auditkit.variants.speed import energy_ratio, median_interval

NAME = "variants"
CONFIDENCE = 0.95
Churned = Sequence[tuple[str, str, int, int]]
_DIFFERENCES = pa.schema(
    [(name, pa.string()) for name in ("variant", "metric", "title", "attribute", "group", "split", "detector")]
    + [(name, pa.float64()) for name in ("original", "value", "change", "lower", "upper", "p_value", "p_adjusted")]
    + [("n", pa.int64()), ("unit", pa.string()), ("change_unit", pa.string()), ("better", pa.string())]
    + [("family", pa.bool_()), ("judged", pa.string()), ("method", pa.string())]
)


@dataclass(frozen=True)
class Measured:
    """latencies: batch → seconds per row [models, blocks]. energy: each model's blocks."""

    latencies: Mapping[int, npt.NDArray[np.float64]]
    energy: Sequence[Sequence[Block]]


@dataclass(frozen=True)
class Told:
    """Everything that was found, the original first. worst: each model's group that it is right for least often, or
    furthest off. unjudged: groups and classes with too few rows. broken: model → rows whose outputs are not finite.
    churn: variant → (attribute, group, changed, rows); nothing where nothing is decided.
    """

    split: str
    answers: tuple[Answers, ...]
    compared: tuple[Compared, ...]
    sizes: tuple[Size, ...]
    churn: Mapping[str, Churned]
    worst: tuple[str, ...]
    unjudged: tuple[str, ...]
    broken: Mapping[str, int]
    measured: Measured | None


def findings_of(told: Told, sentences: Mapping[str, str], spec: AuditSpec, subject: Subject) -> Findings:
    """The findings of a comparison."""
    level = spec.performance.confidence
    findings = Findings(metrics=[*_rows(told, level), *_size_rows(told)])
    findings.tables = {
        "models": _models(told, sentences),
        "differences": _differences(told, level),
        "churn": _churn(told),
    }
    if told.measured:
        findings.measured = [*_latency_rows(told), *_energy_rows(told)]
        findings.measured_tables = {"speed": _speed(told), "energy": _energy(told)}
    findings.caveats = list(_caveats(told, subject))
    return findings


def _rows(told: Told, level: float) -> Iterator[MetricRow]:
    seen = set()
    for one in told.compared:
        measure, where = one.measure, (one.metric, one.attribute, one.group, one.split, one.detector)
        base = {"attribute": one.attribute, "group": one.group, "split": one.split or told.split, "n": one.n}
        of = f" · {one.detector}" if one.detector else ""
        if one.metric == "move":
            yield MetricRow(
                NAME, one.metric, detail=one.variant, value=one.value, lower=one.difference.lower,
                upper=one.difference.upper, confidence=level, better=measure.better, method=one.difference.method,
                **base,  # type: ignore[arg-type]
            )  # fmt: skip
            continue
        values = [(one.variant, one.value)]
        if where not in seen:
            seen.add(where)
            values.insert(0, (told.answers[0].name, one.original))
        for name, value in values:
            yield MetricRow(
                NAME, one.metric, detail=name + of, value=value, unit=measure.unit, better=measure.better,
                method="on the rows that all models answer", **base,  # type: ignore[arg-type]
            )  # fmt: skip
        change = one.difference
        yield MetricRow(
            NAME, f"{one.metric}_change", detail=one.variant + of, value=change.value, lower=change.lower,
            upper=change.upper, confidence=level, unit=measure.change_unit, better=measure.better,
            method=f"variant minus original; {change.method}", **base,  # type: ignore[arg-type]
        )  # fmt: skip
    for variant, churned in told.churn.items():
        for attribute, group, changed, rows in churned:
            lower, upper = wilson(changed, rows, level)
            yield MetricRow(
                NAME, "churn", told.split, attribute, group, variant, changed / rows, float(lower), float(upper),
                level, rows, "rate", "lower", method="Wilson",
            )  # fmt: skip


def _size_rows(told: Told) -> Iterator[MetricRow]:
    for answers, size in zip(told.answers, told.sizes, strict=True):
        for name in ("parameters", "bytes", "compressed_bytes"):
            value = float(getattr(size, name))
            yield MetricRow(NAME, name, detail=answers.name, value=value, unit="rows", better="lower")


def _latency_rows(told: Told) -> Iterator[MetricRow]:
    assert told.measured
    for batch, times in told.measured.latencies.items():
        for place, answers in enumerate(told.answers):
            blocks = times.shape[1]
            how = f"batches of {batch} rows; median of {blocks} blocks taken in turns, order statistics"
            common = {"detail": f"{answers.name} · batch {batch}", "n": blocks, "better": "lower", "method": how}
            found = median_interval(times[place] * 1000, CONFIDENCE)
            yield _estimate("latency_ms_per_row", found, "ms", common)
            if place:
                yield _estimate("latency_ratio", median_interval(times[place] / times[0], CONFIDENCE), "ratio", common)


def _energy_rows(told: Told) -> Iterator[MetricRow]:
    assert told.measured
    first = told.measured.energy[0]
    for place, (answers, blocks) in enumerate(zip(told.answers, told.measured.energy, strict=True)):
        found = joules_per_1000(blocks, CONFIDENCE)
        cost = blocks[0].cost
        common = {
            "detail": answers.name, "n": len(blocks), "better": "lower",
            "method": f"{cost.source}: {cost.reader}; {len(blocks)} blocks taken in turns",
        }  # fmt: skip
        if isinstance(found, str):
            yield MetricRow(NAME, "joules_per_1000_rows", detail=answers.name, unit="J", status="absent", reason=found)
            continue
        yield _estimate("joules_per_1000_rows", found, "J", common)
        if place and (ratio := energy_ratio(first, blocks, CONFIDENCE)):
            yield _estimate("energy_ratio", ratio, "ratio", common)


def _estimate(metric: str, found: Estimate, unit: str, common: Mapping) -> MetricRow:
    return MetricRow(
        NAME, metric, value=found.value, lower=found.lower, upper=found.upper, confidence=CONFIDENCE, unit=unit,
        **common,
    )  # fmt: skip


def _models(told: Told, sentences: Mapping[str, str]) -> pa.Table:
    records = []
    for answers, size, worst in zip(told.answers, told.sizes, told.worst, strict=True):
        derived = answers.model.record.get("derived", {}) if answers is not told.answers[0] else {}
        settings = {key: value for key, value in derived.get("settings", {}).items() if key != "layers"}
        records.append(
            {
                "name": answers.name,
                "how": derived.get("how", ""),
                "of": derived.get("of", ""),
                "digest": answers.model.digest,
                "settings": ", ".join(f"{key} {_plain(value)}" for key, value in settings.items()),
                "parameters": size.parameters,
                "zeros": size.zeros,
                "bytes": size.bytes,
                "compressed_bytes": size.compressed_bytes,
                "device": str(answers.model.device),
                "worst_group": worst,
                "sentence": sentences.get(answers.name, ""),
            }
        )
    return pa.Table.from_pylist(records)


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _differences(told: Told, level: float) -> pa.Table:
    records = [
        {
            "variant": one.variant, "metric": one.metric, "title": one.measure.title, "attribute": one.attribute,
            "group": one.group, "split": one.split, "detector": one.detector, "original": one.original,
            "value": one.value, "change": one.difference.value, "lower": one.difference.lower,
            "upper": one.difference.upper, "p_value": one.difference.p_value, "p_adjusted": one.p_adjusted, "n": one.n,
            "unit": one.measure.unit, "change_unit": one.measure.change_unit, "better": one.measure.better,
            "family": one.family, "judged": one.judged(level), "method": one.difference.method,
        }
        for one in told.compared
    ]  # fmt: skip
    return pa.Table.from_pylist(records, schema=_DIFFERENCES)


def _churn(told: Told) -> pa.Table:
    schema = pa.schema(
        [(name, pa.string()) for name in ("variant", "attribute", "group")]
        + [(name, pa.int64()) for name in ("changed", "rows")]
        + [(name, pa.float64()) for name in ("lower", "upper")]
    )
    records = []
    for variant, churned in told.churn.items():
        for attribute, group, changed, rows in churned:
            low, high = wilson(changed, rows, CONFIDENCE)
            records.append(
                {"variant": variant, "attribute": attribute, "group": group, "changed": changed, "rows": rows}
                | {"lower": float(low), "upper": float(high)}
            )
    return pa.Table.from_pylist(records, schema=schema)


def _speed(told: Told) -> pa.Table:
    assert told.measured
    return pa.Table.from_pylist(
        [
            {"model": answers.name, "batch": batch, "block": block, "ms_per_row": 1000 * float(value)}
            for batch, times in told.measured.latencies.items()
            for answers, blocks in zip(told.answers, times, strict=True)
            for block, value in enumerate(blocks)
        ]
    )


def _energy(told: Told) -> pa.Table:
    assert told.measured
    schema = pa.schema(
        [("model", pa.string()), ("block", pa.int64()), ("rows", pa.int64()), ("seconds", pa.float64())]
        + [(name, pa.float64()) for name in ("joules", "low_joules", "high_joules")]
        + [("source", pa.string()), ("reader", pa.string()), ("reason", pa.string())]
    )
    names = schema.names[3:]
    return pa.Table.from_pylist(
        [
            {"model": answers.name, "block": place, "rows": block.rows}
            | {name: getattr(block.cost, name) for name in names}
            for answers, blocks in zip(told.answers, told.measured.energy, strict=True)
            for place, block in enumerate(blocks)
        ],
        schema=schema,
    )


def _caveats(told: Told, subject: Subject) -> Iterator[Caveat]:
    first = told.answers[0]
    if told.broken:
        said = ", ".join(f"{count:,} rows of {name}" for name, count in told.broken.items())
        text = f"outputs that are not finite count as wrong and are left out of log loss and calibration: {said}"
        if subject.model.task == "regression":
            text = f"rows for which a model gives no finite number are left out of every figure, of all models: {said}"
        yield Caveat(NAME, text)
    if told.unjudged:
        text = f"too few rows to be judged, and so no worst group or class: {', '.join(told.unjudged)}"
        yield Caveat(NAME, text)
    if not subject.schema.sensitive:
        yield Caveat(NAME, "no sensitive attributes are known, so that no group can be compared", level="note")
    if not subject.of_role("ood"):
        yield Caveat(NAME, "there is no out-of-distribution split, so that no detector was compared", level="note")
    for one in told.answers[1:]:
        of = one.model.record.get("derived", {}).get("of")
        if of is None:
            yield Caveat(NAME, f"{one.name}: does not say what it was derived from", level="note")
        elif of != first.model.digest:
            yield Caveat(NAME, f"{one.name} was derived from other weights ({of[:12]}) than it is compared with")
        yield from (caveat for caveat in one.model.caveats if caveat not in first.model.caveats)
    text = "detectors and thresholds are each model's own; their calibration rows were not resampled"
    if any(one.metric == "ood_auroc" for one in told.compared):
        yield Caveat(NAME, text, "variants/ood_auroc_change", level="note")
    if told.measured and any(block.cost.source == "estimated" for blocks in told.measured.energy for block in blocks):
        text = "joules are estimated from a power model: trust the range, and the ratio to the original, not the digits"
        yield Caveat(NAME, text, "variants/joules_per_1000_rows")
