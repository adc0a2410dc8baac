"""The evidence on predicted numbers as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy.special import stdtrit

from auditkit.performance.regression.observer import Numbers

BINS, FEWEST = 12, 25
RESIDUAL_BINS = 30
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_QUANTILES = tuple(f"q{share * 100:g}" for share in SHARES)


def predictions_table(answers: Mapping[str, Numbers]) -> pa.Table:
    """split, row, label, prediction and error (predicted minus true); null where not known or not finite."""
    parts = []
    for split, found in answers.items():
        columns = {"label": found.truth, "prediction": found.predicted, "error": found.errors}
        parts.append(
            pa.table(
                {
                    "split": pa.array([split] * len(found), pa.string()),
                    "row": pa.array(found.rows, pa.int64()),
                    **{name: pa.array(v, pa.float64(), mask=~np.isfinite(v)) for name, v in columns.items()},
                }
            )
        )
    return pa.concat_tables(parts)


def bins_table(judged: Mapping[str, Numbers], confidence: float) -> pa.Table:
    """split, rows, mean prediction, mean truth with Student's t, and quantiles of the truth, by bins of prediction.

    Bins hold about equally many rows, at least 25 where there are as many; equal predictions stay together.
    """
    records = []
    for split, found in judged.items():
        bins = int(np.clip(len(found) // FEWEST, 1, BINS))
        edges = np.unique(np.quantile(found.predicted, np.arange(1, bins) / bins))
        places = np.searchsorted(edges, found.predicted, side="right")
        for place in np.unique(places):
            truth, predicted = found.truth[places == place], found.predicted[places == place]
            n = len(truth)
            margin = np.nan
            if n > 1:
                margin = float(stdtrit(n - 1, 0.5 + confidence / 2) * truth.std(ddof=1) / np.sqrt(n))
            mean, known = float(truth.mean()), bool(np.isfinite(margin))
            records.append(
                {
                    "split": split,
                    "rows": n,
                    "prediction": float(predicted.mean()),
                    "truth": mean,
                    "lower": mean - margin if known else None,
                    "upper": mean + margin if known else None,
                    **dict(zip(_QUANTILES, np.quantile(truth, SHARES).tolist(), strict=True)),
                }
            )
    kinds = [("split", pa.string()), ("rows", pa.int64())]
    kinds += [(name, pa.float64()) for name in ("prediction", "truth", "lower", "upper", *_QUANTILES)]
    return pa.Table.from_pylist(records, schema=pa.schema(kinds))


def residuals_table(judged: Mapping[str, Numbers]) -> pa.Table:
    """split, from, to, rows: how many errors (predicted minus true) lie where, in bins that all splits share.

    The bins span all but the outermost 0.5 % of errors on each side; what lies beyond counts in the outermost bins.
    """
    errors = {split: found.errors for split, found in judged.items()}
    kinds = [("split", pa.string()), ("from", pa.float64()), ("to", pa.float64()), ("rows", pa.int64())]
    records = []
    if errors:
        low, high = np.quantile(np.concatenate(list(errors.values())), [0.005, 0.995])
        room = 0.0 if high > low else max(abs(float(low)), 1.0) * 1e-6
        edges = np.linspace(low - room, high + room, RESIDUAL_BINS + 1)
        for split, found in errors.items():
            counts, _ = np.histogram(np.clip(found, edges[0], edges[-1]), edges)
            records += [
                {"split": split, "from": a, "to": b, "rows": n}
                for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
            ]
    return pa.Table.from_pylist(records, schema=pa.schema(kinds))
