"""Counts that can be kept and given away: one small Parquet file, and the fairness check made again from it.

The file holds no person, only how many fall in each cell: a few kilobytes whatever the number of rows. A check made
from it has the numbers, intervals and verdicts of the check of the rows, since those follow from counts and seed alone.
What needs the rows themselves (exact AUC, clusters, strata, changes since the last release) is not in it, and said so.

One record is one number. `attributes` and `group` say of whom; `label` and `decision` (1 is positive; both null: the
rows of the whole group) which cell; `rows` how many, null where withheld; `weight` and `weight_squared` sums over them.
Records with a `bin` are score counts (`auditkit.fairness.scores.bins`). The schema's metadata `auditkit_counts` tells
such a file from a table of predictions, and holds what was positive, where rows came from and how many were left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.fairness.counting.counts import Counts, Weights
from auditkit.fairness.counting.suppression import SMALLEST, Shown, SuppressedCounts, merge_small, suppress
from auditkit.fairness.result import FairnessCheck
from auditkit.fairness.scores.bins import SUMS, ScoreCounts

METADATA = b"auditkit_counts"
FORMAT = 1
_SCORES = b"auditkit_score_counts"
_SCORE_COLUMNS = ["group", "label", "bin", "rows", *SUMS]
_STRINGS, _WHOLE = pa.list_(pa.string()), pa.int64()
SCHEMA = pa.schema(
    [("attributes", _STRINGS), ("group", _STRINGS)]
    + [(name, _WHOLE) for name in ("label", "decision", "bin", "rows")]
    + [(name, pa.float64()) for name in ("weight", "weight_squared", *SUMS)]
)


@dataclass(frozen=True)
class PublishedCounts:
    """Counts and what has to be known to read them.

    positive, classes: of the label. origin: where the rows came from, in words; label: what their label was called.
    excluded: rows left out before counting. scores: rows by score, where there were probabilities. caveats: what was
    noted when they were counted.
    """

    counts: Counts
    positive: str = "1"
    classes: tuple[str, ...] = ("0", "1")
    origin: str = "counts"
    label: str = "y_true"
    excluded: int = 0
    scores: ScoreCounts | None = None
    caveats: tuple[Caveat, ...] = field(default=())

    @classmethod
    def of(cls, check: FairnessCheck, excluded: int = 0) -> PublishedCounts:
        """The counts behind a check. Raises InputError where rows were drawn from strata or clusters, which counts do
        not tell: intervals made from them would be too narrow."""
        if check.design is not None:
            raise InputError(
                f"{check.where}: its rows were drawn from strata or clusters, which counts cannot tell; keep the rows"
            )
        return cls(
            check.counts,
            check.positive,
            tuple(check.classes),
            check.where,
            str(check.info.get("schema", {}).get("label", "y_true")),
            excluded,
            check.score_counts,
            check.noted,
        )

    def suppressed(self, smallest: int = SMALLEST, merge: bool = False) -> PublishedCounts:
        """The same with small cells withheld (see `auditkit.fairness.counting.suppression`); scores, whose cells are
        smaller still, are left out. merge: first put small groups of an attribute together into `(other)`."""
        counts = suppress(merge_small(self.counts, smallest) if merge else self.counts, smallest)
        notes = list(self.caveats)
        if self.scores is not None:
            text = "counts by score were not published, since small cells are withheld"
            notes.append(Caveat("fairness", text, "fairness/calibration_error", "note"))
        return replace(self, counts=counts, scores=None, caveats=tuple(notes))


def write_counts(published: PublishedCounts | FairnessCheck, path: str | Path) -> Path:
    """Write counts, or those behind a check, to one Parquet file; returns its path.

    >>> write_counts(check_fairness(...), "people.counts.parquet")  # doctest: +SKIP
    """
    from pyarrow import parquet

    if isinstance(published, FairnessCheck):
        published = PublishedCounts.of(published)
    parquet.write_table(to_table(published), path, compression="zstd")
    return Path(path)


def read_counts(path: str | Path) -> PublishedCounts:
    """Counts that `write_counts` wrote. Raises InputError for any other file, and for counts that cannot be."""
    from pyarrow import parquet

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give a Parquet file of counts")
    try:
        table = parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as problem:
        raise InputError(f"{path}: cannot be read as Parquet ({str(problem).splitlines()[0]})") from None
    return from_table(table, str(path))


def is_counts_file(path: str | Path) -> bool:
    """Whether a file holds counts rather than rows; False for whatever is no Parquet file."""
    from pyarrow import parquet

    if Path(path).suffix.lower() not in (".parquet", ".pq") or not Path(path).is_file():
        return False
    try:
        return METADATA in (parquet.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def to_table(published: PublishedCounts) -> pa.Table:
    """The counts as an Arrow table with the schema `SCHEMA`; what is needed to read them stands in its metadata."""
    counts = published.counts
    suppressed = isinstance(counts, SuppressedCounts)
    margins = counts.margins if isinstance(counts, SuppressedCounts) else {counts.attributes: _everything(counts)}
    records = [
        record for attributes, shown in margins.items() for record in _records(attributes, shown, rows=suppressed)
    ]
    table = pa.Table.from_pylist(records, schema=SCHEMA)
    about: dict[str, Any] = {
        "format": FORMAT,
        "attributes": list(counts.attributes),
        "groups": [list(group) for group in counts.groups],
        "weighted": counts.weights is not None,
        "smallest": counts.smallest if isinstance(counts, SuppressedCounts) else None,
        **{name: getattr(published, name) for name in ("positive", "origin", "label", "excluded")},
        "classes": list(published.classes),
        "caveats": [[note.text, note.about, note.level] for note in published.caveats],
        "scores": None,
    }
    if published.scores is not None:
        if suppressed:
            raise InputError("counts by score have cells too small to be published where small cells are withheld")
        scores = published.scores.to_table()
        about["scores"] = json.loads(scores.schema.metadata[_SCORES])
        named = pa.array([list(published.scores.attributes)] * scores.num_rows, _STRINGS)
        scores = scores.replace_schema_metadata(None).append_column("attributes", named)
        table = pa.concat_tables([table, scores], promote_options="permissive").select(SCHEMA.names)
    return table.replace_schema_metadata({METADATA: json.dumps(about, ensure_ascii=False).encode()})


def from_table(table: pa.Table, where: str = "counts") -> PublishedCounts:
    """The inverse of `to_table`. Raises InputError for a table that did not come from there or has been damaged."""
    told = (table.schema.metadata or {}).get(METADATA)
    if told is None or not set(SCHEMA.names) <= set(table.column_names):
        raise InputError(f"{where}: these are no counts; give a file that `write_counts` wrote")
    try:
        about = json.loads(told)
        if about["format"] != FORMAT:
            raise InputError(f"{where}: counts of format {about['format']}, but only {FORMAT} can be read")
        table = table.select(SCHEMA.names).cast(SCHEMA)
        counts = _counts(table.filter(pc.is_null(table["bin"])).to_pylist(), about)
        scores = _scores(table, about["scores"])
        published = PublishedCounts(
            counts,
            str(about["positive"]),
            tuple(map(str, about["classes"])),
            str(about["origin"]),
            str(about["label"]),
            int(about["excluded"]),
            scores,
            tuple(Caveat("fairness", *note) for note in about["caveats"]),
        )
    except (ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as problem:
        raise InputError(f"{where}: damaged counts ({str(problem) or type(problem).__name__})") from None
    if scores is not None and (scores.groups != counts.groups or (scores.cells.sum(axis=2) != counts.cells.sum(axis=2))
                               .any()):  # fmt: skip
        raise InputError(f"{where}: damaged counts (rows by score are others than rows by decision)")
    return published


def _everything(counts: Counts) -> Shown:
    groups = len(counts.groups)
    withheld, rows_withheld = np.zeros((groups, 2, 2), dtype=bool), np.zeros(groups, dtype=bool)
    return Shown(counts.groups, counts.cells, counts.cells.sum(axis=(1, 2)), withheld, rows_withheld, counts.weights)


def _records(attributes: tuple[str, ...], shown: Shown, rows: bool) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    incomplete = shown.incomplete
    for at, group in enumerate(shown.groups):
        of: dict[str, Any] = {"attributes": list(attributes), "group": list(group)}
        if rows:
            records.append(of | {"rows": None if shown.rows_withheld[at] else int(shown.rows[at])})
        for label, decision in np.ndindex(2, 2):
            place = (at, label, decision)
            record = of | {"label": label, "decision": decision}
            record["rows"] = None if shown.withheld[place] else int(shown.cells[place])
            if shown.weights is not None and not incomplete[at]:
                record["weight"] = float(shown.weights.total[place])
                record["weight_squared"] = float(shown.weights.squares[place])
            records.append(record)
    return records


def _counts(records: list[dict[str, Any]], about: Mapping[str, Any]) -> Counts:
    attributes = tuple(about["attributes"])
    if not attributes or len(set(attributes)) < len(attributes):
        raise ValueError("attributes must be named once each")
    parts: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        parts.setdefault(tuple(record["attributes"]), []).append(record)
    suppressed = about["smallest"] is not None
    margins = {name: _shown(part, bool(about["weighted"]), suppressed) for name, part in parts.items()}
    shown = margins[attributes]
    if [list(group) for group in shown.groups] != about["groups"]:
        raise ValueError("its groups are others than those it names")
    if suppressed:
        if margins[()].incomplete.any() and margins[()].rows_withheld.any():
            raise ValueError("the number of all rows is missing")
        return SuppressedCounts.of(attributes, int(about["smallest"]), margins)
    if len(margins) > 1:
        raise ValueError("one table of counts was expected")
    return Counts(attributes, shown.groups, shown.cells, shown.weights)


def _shown(records: list[dict[str, Any]], weighted: bool, suppressed: bool) -> Shown:
    groups = tuple(sorted({tuple(record["group"]) for record in records}))
    size, depth = len(groups), {len(record["attributes"]) for record in records}
    if any(len(group) not in depth for group in groups):
        raise ValueError("a group has not one value for each attribute")
    places = {group: at for at, group in enumerate(groups)}
    rows = np.full((size, 5), -1, dtype=np.int64)
    sums, seen = np.zeros((2, size, 2, 2)), set[tuple[int, int]]()
    for record in records:
        at, label, decision = places[tuple(record["group"])], record["label"], record["decision"]
        cell = 4 if label is None else 2 * label + decision
        if label not in (None, 0, 1) or decision not in (None, 0, 1) or (at, cell) in seen:
            raise ValueError("a cell is there twice, or is none of the four")
        seen.add((at, cell))
        if record["rows"] is None and not suppressed:
            raise ValueError("a number is missing")
        if record["rows"] is not None:
            if record["rows"] < 0:
                raise ValueError("a number of rows is negative")
            rows[at, cell] = record["rows"]
        if weighted and cell < 4 and record["weight"] is not None:
            sums[:, at, label, decision] = record["weight"], record["weight_squared"]
    if len(seen) != size * (5 if suppressed else 4):
        raise ValueError("cells are missing")
    if not np.isfinite(sums).all() or (sums < 0).any():
        raise ValueError("a sum of weights is negative or infinite")
    hidden = rows < 0
    cells = np.where(hidden, 0, rows)
    if not suppressed:
        hidden[:, 4] = False
        cells[:, 4] = cells[:, :4].sum(axis=1)
    if ((cells[:, :4].sum(axis=1) != cells[:, 4]) & ~hidden.any(axis=1)).any():
        raise ValueError("the cells of a group do not add up to its rows")
    weights = Weights(*sums) if weighted else None
    return Shown(
        groups, cells[:, :4].reshape(-1, 2, 2), cells[:, 4], hidden[:, :4].reshape(-1, 2, 2), hidden[:, 4], weights
    )


def _scores(table: pa.Table, about: Mapping[str, Any] | None) -> ScoreCounts | None:
    if about is None:
        return None
    part = table.filter(pc.is_valid(table["bin"])).select(_SCORE_COLUMNS)
    return ScoreCounts.from_table(part.replace_schema_metadata({_SCORES: json.dumps(about).encode()}))
