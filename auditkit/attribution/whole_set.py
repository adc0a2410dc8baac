"""What all explained rows say together: strategies, shortcut candidates, and what is rested on by class and by answer.

By one method, the first that promises to add up. Pictures are taken by their cells, series by channel and window,
tables by column. Texts, whose positions have no meaning of their own, are taken by their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.attribution.by_class import by_class_table, selections, stability_row
from auditkit.attribution.explicands import Explicands, PartAttribution
from auditkit.attribution.places import place_of, zones
from auditkit.attribution.registry import METHODS
from auditkit.attribution.shortcuts import Shortcut, shortcuts, together
from auditkit.attribution.strategies import (
    FEWEST,
    Floats,
    Strategy,
    directions,
    mass,
    plane,
    strategies,
    word_values,
)
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.subject.data import Split

NAME = "attribution"
STREAM = 314
"""of the audit's seed"""
STRATEGIES = pa.schema(
    [
        ("method", pa.string()),
        ("class", pa.string()),
        ("strategy", pa.int64()),
        ("rows", pa.int64()),
        ("right", pa.int64()),
        ("known", pa.int64()),
        ("silhouette", pa.float64()),
        ("medoid", pa.int64()),
        ("farthest", pa.int64()),
        ("parts", pa.list_(pa.string())),
        ("shares", pa.list_(pa.float64())),
    ]
)
"""one line per class and strategy, counted from 1 by falling size. right: of the `known` rows with a label those that
were answered right. medoid, farthest: rows of the split. shares: mean share of the attribution by part"""
SHORTCUTS = pa.schema(
    [
        ("method", pa.string()),
        ("class", pa.string()),
        ("strategy", pa.int64()),
        ("rows", pa.int64()),
        ("against", pa.string()),
        ("place", pa.string()),
        ("region", pa.list_(pa.string())),
        ("share", pa.float64()),
        ("elsewhere", pa.float64()),
        ("lift", pa.float64()),
        ("p", pa.float64()),
        ("adjusted", pa.float64()),
        ("candidate", pa.bool_()),
        ("reason", pa.string()),
        ("medoid", pa.int64()),
    ]
)
"""one line per strategy, and per class with several of them as a whole (strategy 0)"""


def whole_set(
    explicands: Explicands, found: Mapping[str, PartAttribution], split: Split, confidence: float, seed: int
) -> Findings:
    """The tables `strategies`, `strategy_rows`, `shortcuts` and, but for texts, `by_class`; counts and caveats."""
    method = next((name for name in found if METHODS[name].complete), next(iter(found)))
    values, parts = _by_part(explicands, found[method])
    names = () if split.schema.task == "regression" else split.schema.classes
    labels = split.labels[explicands.rows]
    said = np.array([names[place] if names else "" for place in explicands.predictions.tolist()])
    own = strategies(values, said, seed + STREAM)
    every = [*own, *(together(own) if names else [])]
    picture = explicands.shape is not None
    suspects = shortcuts(values, said, every, seed + STREAM)
    places = [_place([parts[at] for at in one.region], parts, picture) for one in suspects]
    right = explicands.predictions == labels
    findings = Findings(
        tables={
            f"{NAME}/strategies": _strategy_table(method, values, parts, own, explicands.rows, labels >= 0, right),
            f"{NAME}/strategy_rows": _row_table(method, values, own, explicands.rows),
            f"{NAME}/shortcuts": _shortcut_table(method, every, suspects, places, parts, explicands.rows),
        }
    )
    findings.caveats += [
        Caveat(NAME, _sentence(strategy, suspect, place), f"{NAME}/shortcuts")
        for strategy, suspect, place in zip(every, suspects, places, strict=True)
        if suspect.candidate
    ]
    findings.metrics.append(_count_row(method, split, suspects, bool(names)))
    if explicands.words is None:
        rng = np.random.default_rng([seed, STREAM])
        chosen = selections(names, explicands.predictions, labels)
        table, agreement = by_class_table(
            method, values, parts, chosen, confidence, rng, zones(parts) if picture else None
        )
        findings.tables[f"{NAME}/by_class"] = table
        findings.metrics.append(stability_row(method, split.name, agreement, confidence, len(explicands)))
    return findings


def _by_part(explicands: Explicands, attribution: PartAttribution) -> tuple[Floats, tuple[str, ...]]:
    values = attribution.values.double().cpu().numpy()
    if explicands.words is None:
        return values, explicands.partition.parts
    assert explicands.present is not None
    shown = explicands.present.cpu().numpy()
    words = [
        [word if has else "" for word, has in zip(found, row, strict=False)]
        for found, row in zip(explicands.words, shown, strict=True)
    ]
    return word_values(np.where(shown, values, 0.0), words, FEWEST)


def _place(region: Sequence[str], parts: Sequence[str], picture: bool) -> str:
    """A region in words: where in a picture, or the names of columns and words."""
    if not region:
        return ""
    return place_of(region, parts) if picture else ", ".join(region[:4]) + (", …" if len(region) > 4 else "")


def _strategy_table(
    method: str,
    values: Floats,
    parts: Sequence[str],
    own: Sequence[Strategy],
    rows: npt.NDArray,
    known: npt.NDArray[np.bool_],
    right: npt.NDArray[np.bool_],
) -> pa.Table:
    shares = mass(values)
    lines = [
        {
            "method": method,
            "class": strategy.name,
            "strategy": strategy.number,
            "rows": len(strategy.rows),
            "right": int((right & known)[strategy.rows].sum()),
            "known": int(known[strategy.rows].sum()),
            "silhouette": strategy.silhouette,
            "medoid": int(rows[strategy.medoid]),
            "farthest": int(rows[strategy.farthest]),
            "parts": list(parts),
            "shares": shares[strategy.rows].mean(axis=0).tolist(),
        }
        for strategy in own
    ]
    return pa.Table.from_pylist(lines, schema=STRATEGIES)


def _row_table(method: str, values: Floats, own: Sequence[Strategy], rows: npt.NDArray) -> pa.Table:
    """One line per explained row: its strategy, and where it lies on the two directions in which rows vary most."""
    placed = plane(directions(values))
    lines: list[dict[str, Any]] = [
        {
            "method": method,
            "row": int(rows[at]),
            "class": strategy.name,
            "strategy": strategy.number,
            "x": float(placed[at, 0]),
            "y": float(placed[at, 1]),
        }
        for strategy in own
        for at in strategy.rows.tolist()
    ]
    kinds = [("method", pa.string()), ("row", pa.int64()), ("class", pa.string()), ("strategy", pa.int64())]
    return pa.Table.from_pylist(lines, schema=pa.schema([*kinds, ("x", pa.float64()), ("y", pa.float64())]))


def _shortcut_table(
    method: str,
    every: Sequence[Strategy],
    suspects: Sequence[Shortcut],
    places: Sequence[str],
    parts: Sequence[str],
    rows: npt.NDArray,
) -> pa.Table:
    lines = [
        {
            "method": method,
            "class": strategy.name,
            "strategy": strategy.number,
            "rows": len(strategy.rows),
            "against": suspect.against,
            "place": place,
            "region": [parts[at] for at in suspect.region],
            "share": suspect.share,
            "elsewhere": suspect.elsewhere,
            "lift": suspect.lift,
            "p": suspect.p,
            "adjusted": suspect.adjusted,
            "candidate": suspect.candidate,
            "reason": suspect.reason,
            "medoid": int(rows[strategy.medoid]),
        }
        for strategy, suspect, place in zip(every, suspects, places, strict=True)
    ]
    return pa.Table.from_pylist(lines, schema=SHORTCUTS)


def _sentence(strategy: Strategy, suspect: Shortcut, place: str) -> str:
    which = "all" if suspect.against == "other classes" else f"strategy {strategy.number} with"
    return (
        f"A shortcut candidate: of the attribution of answers {strategy.name!r} ({which} {len(strategy.rows)} "
        f"explained rows) {suspect.share:.0%} rests on {place}, where {suspect.against} "
        f"{'have' if suspect.against == 'other classes' else 'has'} {suspect.elsewhere:.1%}."
    )


def _count_row(method: str, split: Split, suspects: Sequence[Shortcut], classes: bool) -> MetricRow:
    if not classes:
        reason = "a number is predicted, so that there is no class whose answers could rest on a place of their own"
        return MetricRow(NAME, "shortcut_candidates", split.name, detail=method, status="not applicable", reason=reason)
    count = float(sum(suspect.candidate for suspect in suspects))
    return MetricRow(
        NAME, "shortcut_candidates", split.name, detail=method, value=count, n=len(suspects), better="lower",
        method="strategies, region chosen on half of the rows and tested on the other, Benjamini-Hochberg",
    )  # fmt: skip
