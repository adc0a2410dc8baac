"""Activations: what the layers do with the data, from the one pass.

Training rows are the reference: a unit is dead, saturated or constant if it is so on all of them. The map and the
most-activating rows are made of the test split, with the out-of-distribution sets laid over the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import cast

import numpy as np

from auditkit.activations.layers import watched
from auditkit.activations.moments import effective_rank
from auditkit.activations.observer import COVARIANCE_UNITS, ActivationsObserver, Wanted, kept_units
from auditkit.activations.projection import principal_axes
from auditkit.activations.tables import layer_table, map_table, top_table, unit_table, variance_table
from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.engine.readable import readable_inputs
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.subject import Subject

NAME = "activations"
MINIMUM_ROWS = 30
SHOWN_UNITS = 32
"""readable inputs are kept for the top rows of this many penultimate features, those with the largest spread"""


class ActivationsAnalysis:
    """Layer statistics, a map of the features and the rows that drive them."""

    name = NAME
    title = "Activations"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        layers = tuple(layer.name for layer in watched(subject.model, spec.activations.layers))
        if {"model", "layers"} & subject.model.lacks.keys():
            return Needs()
        return Needs(logits=True, features=True, layers=layers, inputs=_mask(subject) is not None)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        if split.role == "validation":
            return None
        settings = context.spec.activations
        ood = len(context.subject.of_role("ood"))
        mapped = {"train": 0, "test": settings.map_rows // 2 if ood else settings.map_rows}
        layers = watched(context.subject.model, settings.layers)
        return ActivationsObserver(
            Wanted(
                layers=() if split.role == "ood" else tuple(layers),
                mapped=mapped.get(split.role, settings.map_rows // 2 // max(ood, 1)),
                top_rows=settings.top_rows if split.role == "test" else 0,
                available=len(split),
                seed=context.spec.seed,
                mask=_mask(context.subject),
            )
        )

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        lacks = context.subject.model.lacks
        if reason := lacks.get("model") or lacks.get("layers"):
            return _nothing(reason)
        observed = {name: cast(ActivationsObserver, observer) for name, observer in observers.items()}
        roles = {split.name: split.role for split in context.subject.splits}
        findings = Findings(tables={f"{NAME}/layers": layer_table(observed), f"{NAME}/units": unit_table(observed)})
        findings.metrics += _layer_rows(findings, roles)
        _add_map(context, findings, observed, roles)
        _add_top_rows(context, findings, observed, roles)
        findings.caveats += _caveats(context, findings, observed, roles)
        findings.tables = {name: table for name, table in findings.tables.items() if table.num_columns}
        return findings


def _mask(subject: Subject) -> int | None:
    """Which input says where the words of a text stand; None for rows of another kind."""
    preprocessing = subject.model.preprocessing
    return preprocessing.held[0] if preprocessing.modality == "text" and preprocessing.held else None


def _nothing(reason: str) -> Findings:
    """Findings that say why there are none."""
    metrics = ("dead_units", "saturated_units", "effective_rank", "map_variance_explained")
    rows = [MetricRow(NAME, metric, status="not applicable", reason=reason) for metric in metrics]
    return Findings(metrics=rows, caveats=[Caveat(NAME, f"No activations were observed: {reason}.", NAME, "note")])


def _layer_rows(findings: Findings, roles: Mapping[str, str]) -> Iterator[MetricRow]:
    """Shares of dead, saturated and constant units and the effective rank, per split and layer."""
    for line in findings.tables[f"{NAME}/layers"].to_pylist():
        row = partial(MetricRow, NAME, split=line["split"], detail=line["layer"], n=line["rows"])
        for metric in ("dead", "saturated", "constant"):
            if line[metric] is None:
                continue
            share = partial(row, f"{metric}_units", unit="rate", better="lower")
            if line["rows"] < MINIMUM_ROWS:
                yield share(status="insufficient", reason=f"{line['rows']} rows, fewer than {MINIMUM_ROWS}")
            else:
                yield share(value=line[metric] / line["units"])
        if line["effective_rank"] is None:
            yield row("effective_rank", status="not applicable", reason="nothing varies between the rows")
        elif line["covariance_rows"] < MINIMUM_ROWS:
            reason = f"{line['covariance_rows']} rows, fewer than {MINIMUM_ROWS}"
            yield row("effective_rank", status="insufficient", reason=reason)
        else:
            yield row("effective_rank", value=line["effective_rank"], unit="directions", better="none")


def _reference(observed: Mapping[str, ActivationsObserver], roles: Mapping[str, str]) -> str | None:
    """The split that features are compared with: train, else test."""
    for role in ("train", "test"):
        for name, observer in observed.items():
            if roles[name] == role and observer.features.rows:
                return name
    return None


def _add_map(
    context: Context, findings: Findings, observed: Mapping[str, ActivationsObserver], roles: Mapping[str, str]
) -> None:
    reference = _reference(observed, roles)
    row = partial(MetricRow, NAME, "map_variance_explained", split=reference or "", unit="rate")
    if reference is None:
        reason = "the model has no penultimate linear layer to take features from"
        findings.metrics.append(row(status="not applicable", reason=reason))
        return
    features = observed[reference].features
    rank = effective_rank(features.matrix)
    projection = principal_axes(features.mean, features.matrix)
    if rank is None or projection is None or features.rows < MINIMUM_ROWS:
        reason = "fewer than 30 reference rows" if features.rows < MINIMUM_ROWS else "no feature varies"
        findings.metrics.append(row(status="insufficient", reason=reason))
        return
    findings.metrics += [
        row(value=float(projection.explained[:2].sum()), n=features.rows),
        MetricRow(NAME, "feature_effective_rank", reference, value=rank, n=features.rows, unit="directions"),
    ]
    findings.tables[f"{NAME}/map"] = map_table(projection, observed, roles, _classes(context))
    findings.tables[f"{NAME}/variance"] = variance_table(projection)


def _add_top_rows(
    context: Context, findings: Findings, observed: Mapping[str, ActivationsObserver], roles: Mapping[str, str]
) -> None:
    name = next((name for name, part in observed.items() if roles[name] == "test" and part.top.values.size), None)
    split = context.subject.split(name) if name else None
    if name is None or split is None:
        return
    top, features = observed[name].top, observed[name].features
    width = top.values.shape[1]
    kept = kept_units(context.subject.model.head.in_features) if context.subject.model.head else slice(None)
    units = np.arange(width) if isinstance(kept, slice) else np.array(kept)
    table = top_table(top, units, _classes(context))
    findings.tables[f"{NAME}/top"] = table
    spread = np.diagonal(features.matrix) if features.rows else np.zeros(width)
    shown = np.sort(np.argsort(-spread, kind="stable")[:SHOWN_UNITS])
    rows = np.unique(top.rows[:, shown])
    findings.tables[f"{NAME}/inputs"] = readable_inputs(context.subject.model.preprocessing, split, rows)


def _caveats(
    context: Context, findings: Findings, observed: Mapping[str, ActivationsObserver], roles: Mapping[str, str]
) -> list[Caveat]:
    layers = findings.tables[f"{NAME}/layers"].to_pylist()
    caveats = []
    for line in layers:
        if line["not_finite"]:
            text = f"Layer {line['layer']!r}: {line['not_finite']} rows of {line['split']!r} gave values that are not "
            caveats.append(
                Caveat(NAME, text + "finite; they are left out of its statistics.", f"{NAME}/{line['layer']}")
            )
    wide = sorted({line["layer"] for line in layers if line["units"] > COVARIANCE_UNITS})
    if wide:
        text = (
            f"Effective rank of {', '.join(map(repr, wide))} is that of {COVARIANCE_UNITS} units spread evenly over it."
        )
        caveats.append(Caveat(NAME, text, f"{NAME}/effective_rank", "note"))
    seen = {line["layer"] for line in layers}
    wanted = watched(context.subject.model, context.spec.activations.layers)
    silent = [layer.name for layer in wanted if layer.name not in seen]
    if silent and observed:
        text = f"{', '.join(map(repr, silent))}: no output was seen, so nothing is said of it."
        caveats.append(Caveat(NAME, text, f"{NAME}/layers", "note"))
    if context.subject.model.multilabel and observed:
        text = "Rows of the map have no label, since each may have several; predicted is the label that scores highest."
        caveats.append(Caveat(NAME, text, f"{NAME}/map", "note"))
    if _mask(context.subject) is not None:
        text = "Places of a text that only fill up are left out of the layers' statistics."
        caveats.append(Caveat(NAME, text, f"{NAME}/layers", "note"))
    if observed and not any(layer.rectifier or layer.bounds for layer in wanted):
        text = "No watched layer is a rectifier or bounded activation module: dead and saturated units are not judged."
        caveats.append(Caveat(NAME, text, f"{NAME}/dead_units", "note"))
    if observed and "train" not in {roles[name] for name in observed}:
        caveats.append(Caveat(NAME, "There is no training split; the test split serves as the reference.", NAME))
    return caveats


def _classes(context: Context) -> tuple[str, ...]:
    """The names of the classes; none where numbers are predicted."""
    schema = context.subject.schema
    return () if schema.task == "regression" else schema.classes
