"""Summary: importance per method, column and group of people, agreement between methods, the checks as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.attribution.evaluation.agreement import TOP, sign_agreement, spearman, top_agreement
from auditkit.attribution.explicands import Explicands, PartAttribution, completeness_gap
from auditkit.attribution.importance import agreement, importance, mean_interval, median_interval, shares
from auditkit.attribution.registry import METHODS
from auditkit.evidence.metrics import MetricRow
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.preprocessing import category_values

NAME = "attribution"
BOOTSTRAP = "percentile bootstrap over explained rows"
GLOBAL = pa.schema(
    [
        ("method", pa.string()),
        ("attribute", pa.string()),
        ("group", pa.string()),
        ("column", pa.string()),
        ("share", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("signed", pa.float64()),
        ("n", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


def groups_of(split: Split, rows: npt.NDArray) -> dict[tuple[str, str], npt.NDArray]:
    """For each sensitive attribute and group, which of the explained rows belong to it (boolean [n])."""
    found: dict[tuple[str, str], npt.NDArray] = {}
    for attribute in split.schema.sensitive:
        values = np.array(category_values(split, attribute, rows).to_pylist(), dtype=object)
        found |= {(attribute, group): values == group for group in sorted(set(values.tolist()))}
    return found


def global_table(
    explicands: Explicands,
    found: Mapping[str, PartAttribution],
    split: Split,
    spec: AuditSpec,
    rng: np.random.Generator,
    together: Mapping[str, Sequence[int]] | None = None,
    groups: bool = True,
) -> pa.Table:
    """Importance of every part: over all explained rows, and within each group that is large enough.

    together: name → the parts that are added up under it, in place of every part under its own name.
    """
    selections = {("", ""): np.ones(len(explicands), dtype=bool)}
    if groups:
        selections |= groups_of(split, explicands.rows)
    names, matrix = explicands.partition.parts, None
    if together is not None:
        names, matrix = tuple(together), np.zeros((len(explicands.partition.parts), len(together)))
        for place, parts in enumerate(together.values()):
            matrix[list(parts), place] = 1.0
    records = []
    for method, attribution in found.items():
        values = attribution.values.cpu().numpy()
        for (attribute, group), chosen in selections.items():
            n, minimum = int(chosen.sum()), spec.fairness.minimum_group if attribute else 1
            result = importance(values[chosen], spec.attribution.confidence, rng, matrix) if n >= minimum else None
            status = "ok" if result else "insufficient"
            reason = f"{n} explained rows, fewer than {minimum}" if n < minimum else "every attribution is zero"
            for place, column in enumerate(names):
                records.append(
                    {
                        "method": method,
                        "attribute": attribute,
                        "group": group,
                        "column": column,
                        "share": result and float(result.share[place]),
                        "lower": result and float(result.lower[place]),
                        "upper": result and float(result.upper[place]),
                        "signed": result and float(result.signed[place]),
                        "n": result.n if result else n,
                        "status": status,
                        "reason": "" if result else reason,
                    }
                )
    return pa.Table.from_pylist(records, schema=GLOBAL)


def importance_rows(table: pa.Table, split: Split, confidence: float) -> list[MetricRow]:
    """The overall shares as metric rows; detail is `method · column`."""
    rows = []
    for record in table.to_pylist():
        if record["attribute"] or record["status"] != "ok":
            continue
        rows.append(
            MetricRow(
                NAME,
                "importance",
                split=split.name,
                detail=f"{record['method']} · {record['column']}",
                value=record["share"],
                lower=record["lower"],
                upper=record["upper"],
                confidence=confidence,
                n=record["n"],
                unit="rate",
                method=BOOTSTRAP,
            )
        )
    return rows


def sensitive_rows(
    explicands: Explicands,
    found: Mapping[str, PartAttribution],
    split: Split,
    confidence: float,
    rng: np.random.Generator,
) -> list[MetricRow]:
    """How much of the attribution falls on sensitive columns that the model itself sees, per method."""
    if not split.schema.sensitive:
        return []
    columns = explicands.words is None and not explicands.series
    seen = [columns and part in split.schema.sensitive for part in explicands.partition.parts]
    rows = []
    for method, attribution in found.items():
        each = shares(attribution.values.cpu().numpy())[:, seen].sum(axis=1)
        row = partial(MetricRow, NAME, "sensitive_importance", split.name, detail=method, unit="rate", better="lower")
        if not any(seen):
            reason = "the model sees no sensitive column (others may still stand in for one)"
            rows.append(row(status="not applicable", reason=reason))
        elif len(each):
            lower, upper = (float(edge[0]) for edge in mean_interval(each[:, None], confidence, rng))
            value = float(each.mean())
            rows.append(
                row(value=value, lower=lower, upper=upper, confidence=confidence, n=len(each), method=BOOTSTRAP)
            )
    return rows


def check_rows(explicands: Explicands, found: Mapping[str, PartAttribution], split: Split) -> list[MetricRow]:
    """The completeness gap of every method (median and 95th percentile over rows), evaluations and steps used."""
    rows = []
    for method, attribution in found.items():
        _, relative = completeness_gap(attribution.values, explicands.change)
        gaps = relative.cpu().numpy()
        row = partial(MetricRow, NAME, split=split.name, detail=method, n=len(gaps))
        rows += [
            row("completeness_gap", value=float(np.median(gaps)), unit="ratio", better="lower"),
            row("completeness_gap_p95", value=float(np.quantile(gaps, 0.95)), unit="ratio", better="lower"),
            row("evaluations_per_row", value=float(attribution.evaluations.mean()), unit="rows", better="lower"),
        ]
        if attribution.steps is not None:
            rows.append(row("steps", value=float(np.median(attribution.steps)), better="lower"))
            rows.append(row("steps_maximum", value=float(attribution.steps.max()), better="lower"))
    return rows


def agreement_rows(
    found: Mapping[str, PartAttribution],
    split: Split,
    confidence: float,
    rng: np.random.Generator,
    present: npt.NDArray[np.bool_] | None = None,
) -> list[MetricRow]:
    """For each pair of methods the median over rows of Spearman's correlation of |φ|; detail is `method · method`.

    present: bool [n, parts], which parts a row has; all where None.
    """
    rows = []
    for first, second in combinations(found, 2):
        each = agreement(found[first].values.cpu().numpy(), found[second].values.cpu().numpy(), present)
        detail = f"{first} · {second}"
        if len(each) == 0:
            reason = "no row has a ranking to compare (fewer than three parts, or attributions all alike)"
            row = MetricRow(NAME, "agreement", split.name, detail=detail, status="not applicable", reason=reason)
        else:
            lower, upper = median_interval(each, confidence, rng)
            row = MetricRow(
                NAME,
                "agreement",
                split=split.name,
                detail=detail,
                value=float(np.median(each)),
                lower=lower,
                upper=upper,
                confidence=confidence,
                n=len(each),
                better="higher",
                method=BOOTSTRAP,
            )
        rows.append(row)
    return rows


ROW_AGREEMENT = pa.schema(
    [
        ("row", pa.int64()),
        ("first", pa.string()),
        ("second", pa.string()),
        ("rank", pa.float64()),
        ("top", pa.float64()),
        ("sign", pa.float64()),
        ("k", pa.int64()),
        ("reason", pa.string()),
    ]
)


def row_agreement(explicands: Explicands, found: Mapping[str, PartAttribution]) -> pa.Table:
    """How far each pair of methods says the same of each explained row: one line per pair and row.

    rank: Spearman's correlation of the magnitudes of all parts. top: share of the k weightiest parts that both have.
    sign: share of them that both have with the same sign. What is not defined is null, and `reason` says why.
    """
    present = None if explicands.present is None else explicands.present.cpu().numpy()
    values = {name: part.values.double().cpu().numpy() for name, part in found.items()}
    records = []
    for first, second in combinations(values, 2):
        a, b = values[first], values[second]
        rank, top = spearman(np.abs(a), np.abs(b), present), top_agreement(a, b)
        unsigned = [METHODS[name].title for name in (first, second) if not METHODS[name].signed]
        sign = np.full(len(a), np.nan) if unsigned else sign_agreement(a, b)
        for place, row in enumerate(explicands.rows.tolist()):
            why = [] if np.isfinite(rank[place]) else ["fewer than three parts, or all weighing alike, have no ranking"]
            why += [] if np.isfinite(top[place]) else ["neither method attributes anything"]
            why += [f"{' and '.join(unsigned)} {'tell' if len(unsigned) > 1 else 'tells'} no sign"] if unsigned else []
            told = [float(part[place]) if np.isfinite(part[place]) else None for part in (rank, top, sign)]
            records.append(
                {"row": row, "first": first, "second": second, "k": TOP, "reason": "; ".join(why)}
                | dict(zip(("rank", "top", "sign"), told, strict=True))
            )
    return pa.Table.from_pylist(records, schema=ROW_AGREEMENT)


def value_directions(
    explicands: Explicands, found: Mapping[str, PartAttribution], split: Split, numeric: Sequence[str]
) -> pa.Table:
    """Which way a column of numbers works: Spearman's correlation of its values with its attributions, over rows.

    One line per method and column: method, column, rank (null, with a reason, where there is none), n.
    """
    records = []
    for method, attribution in found.items():
        every = attribution.values.double().cpu().numpy()
        for name in numeric:
            told = split.column(name).take(pa.array(explicands.rows)).to_pylist()
            values = np.array([np.nan if value is None else float(value) for value in told])
            known = np.isfinite(values)
            own = every[known, explicands.partition.parts.index(name)]
            rank = float(spearman(values[None, known], own[None])[0])
            records.append(
                {
                    "method": method,
                    "column": name,
                    "rank": rank if np.isfinite(rank) else None,
                    "n": int(known.sum()),
                    "reason": "" if np.isfinite(rank) else "fewer than three values, or all alike",
                }
            )
    kinds = [("method", pa.string()), ("column", pa.string()), ("rank", pa.float64()), ("n", pa.int64())]
    return pa.Table.from_pylist(records, pa.schema([*kinds, ("reason", pa.string())]))
