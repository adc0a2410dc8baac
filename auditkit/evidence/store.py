"""A run's folder: written once while the audit goes on, read by reports and dashboard ever after.

    reports/<subject>/<audit id>/
      audit.json                        written last: a folder without it is an unfinished audit
      metrics.parquet                   the tidy table of results
      measured.parquet                  metric rows that are measured anew each time (seconds, joules)
      <discipline>/record.json          the discipline is finished; its caveats and the digests of its files
      <discipline>/metrics.parquet      its rows of the tidy table
      <discipline>/<table>.parquet      its tables (`<table>.measured.parquet` where measured anew each time)
      SHA256SUMS                        digests of all of these

Tables are read through DuckDB, which filters and pages in the file and never loads all of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditkit.errors import InputError
from auditkit.evidence.manifest import digest_of, result_digest, verify, write_atomically, write_manifest
from auditkit.evidence.metrics import Caveat, Findings, MetricRow, from_table, to_table
from auditkit.evidence.section import Section
from auditkit.evidence.verdict import GateResult

SCHEMA_VERSION = 1
MEASURED = ".measured.parquet"


def to_json(content: Any) -> bytes:
    """JSON that is the same for the same content: sorted keys, UTF-8, no NaN (which raises ValueError)."""
    return (json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as Parquet, the same bytes for the same content."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


class RunFolder:
    """The writing side. `finished` names the disciplines whose records are there and whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def complete(self) -> bool:
        """Whether the audit was finished and its evidence is intact."""
        if not (self.folder / "audit.json").is_file():
            return False
        try:
            return verify(self.folder).intact
        except InputError:
            return False

    def finished(self, discipline: str) -> bool:
        """Whether a discipline's record is there and all its files are as it left them."""
        path = self.folder / discipline / "record.json"
        if not path.is_file():
            return False
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
            return all(digest_of(self.folder / name) == digest for name, digest in files.items())
        except (OSError, ValueError, KeyError):
            return False

    def write(self, discipline: str, findings: Findings) -> None:
        """Keep a discipline's findings, its record last. A table is called `rates` or, in full, `fairness/rates`."""
        own = f"{discipline}/"
        tables = {f"{name.removeprefix(own)}.parquet": table for name, table in findings.tables.items()}
        tables |= {f"{name.removeprefix(own)}{MEASURED}": table for name, table in findings.measured_tables.items()}
        tables["metrics.parquet"] = to_table(findings.metrics)
        tables[f"metrics{MEASURED}"] = to_table(findings.measured)
        files = {}
        for name, table in tables.items():
            path = self.folder / discipline / name
            write_atomically(path, parquet_bytes(table))
            files[f"{discipline}/{name}"] = digest_of(path)
        record = {"files": files, "caveats": [asdict(caveat) for caveat in findings.caveats]}
        write_atomically(self.folder / discipline / "record.json", to_json(record))

    def table(self, name: str) -> pa.Table | None:
        """A table that a finished discipline left (`attribution/rows`), for those that come after it; None if none."""
        path = self.folder / f"{name}.parquet"
        return pq.read_table(path) if self.finished(name.split("/")[0]) and path.is_file() else None

    def rows(self, disciplines: Sequence[str]) -> tuple[list[MetricRow], list[MetricRow]]:
        """The finished disciplines' metric rows: results, and those measured anew each time."""
        kinds: list[list[MetricRow]] = []
        for name in ("metrics.parquet", f"metrics{MEASURED}"):
            paths = [self.folder / discipline / name for discipline in disciplines]
            kinds.append([row for path in paths if path.is_file() for row in from_table(pq.read_table(path))])
        return kinds[0], kinds[1]

    def caveats(self, disciplines: Sequence[str]) -> list[Caveat]:
        """The finished disciplines' caveats."""
        paths = [self.folder / discipline / "record.json" for discipline in disciplines]
        records = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        return [Caveat(**caveat) for record in records for caveat in record["caveats"]]

    def digest(self) -> str:
        """The digest of results: every table but those measured anew each time."""
        names = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.parquet")]
        return result_digest(
            self.folder, [name for name in names if not name.endswith(MEASURED) and name != "measured.parquet"]
        )

    def finish(self, disciplines: Sequence[str], record: Mapping[str, Any]) -> None:
        """Write the tidy tables, `audit.json` with the digest of results, and the manifest."""
        for left_by_a_kill in self.folder.rglob("*.part"):
            left_by_a_kill.unlink()
        results, measured = self.rows(disciplines)
        write_atomically(self.folder / "metrics.parquet", parquet_bytes(to_table(results)))
        write_atomically(self.folder / "measured.parquet", parquet_bytes(to_table(measured)))
        content = {**record, "schema_version": SCHEMA_VERSION, "result_digest": self.digest()}
        last = to_json(content)
        write_manifest(self.folder, {"audit.json": last})
        write_atomically(self.folder / "audit.json", last)


class Evidence:
    """The reading side: a finished audit. Everything shown anywhere is a function of this."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "audit.json"
        if not path.is_file():
            raise InputError(f"{self.folder}: no finished audit here (there is no audit.json); give an audit's folder")
        try:
            self.info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path}: not readable as JSON; the evidence was changed, see auditkit verify") from None
        if self.info.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{path}: written in evidence format {self.info.get('schema_version')}, this auditkit reads format "
                f"{SCHEMA_VERSION}; run the audit again"
            )

    @cached_property
    def rows(self) -> list[MetricRow]:
        """All metric rows, results first, then what was measured."""
        return [row for name in ("metrics.parquet", "measured.parquet") for row in from_table(self._read(name))]

    @property
    def caveats(self) -> list[Caveat]:
        """What to read before trusting a number."""
        return [Caveat(**caveat) for caveat in self.info["caveats"]]

    @property
    def verdict(self) -> str:
        """pass, fail, inconclusive or missing."""
        return str(self.info["verdict"])

    @cached_property
    def gates(self) -> list[GateResult]:
        """The gate results, in the order of the policy."""
        return [GateResult(**result) for result in self.info["gates"]]

    @property
    def titles(self) -> dict[str, str]:
        """Discipline → its title, in the order of the audit."""
        titles: dict[str, str] = self.info["titles"]
        order = [str(name) for name in self.info["spec"].get("analyses", ())]
        return {name: titles[name] for name in [*order, *sorted(titles)] if name in titles}

    def table_names(self) -> list[str]:
        """Names of all tables, such as `fairness/rates`."""
        paths = [path for path in sorted(self.folder.glob("*/*.parquet")) if not path.name.startswith("metrics.")]
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        return [name.removesuffix(MEASURED).removesuffix(".parquet") for name in names]

    def table(self, name: str) -> pa.Table | None:
        """A whole table, or None where the audit has none of that name."""
        path = self._path(name)
        return None if path is None else self._read(path.relative_to(self.folder).as_posix())

    def query(self, sql: str, **tables: str) -> pa.Table:
        """Filter and page tables where they lie: each keyword names a table that the SQL may speak of.

        >>> sql = "select * from p where correct = false limit 5"
        >>> evidence.query(sql, p="performance/predictions")  # doctest: +SKIP
        """
        import duckdb

        connection = duckdb.connect()
        for alias, name in tables.items():
            path = self._path(name)
            if path is None:
                raise InputError(f"{self.folder}: the audit has no table {name!r}")
            connection.read_parquet(str(path)).create_view(alias)
        return connection.sql(sql).to_arrow_table()

    def sections(self) -> dict[str, list[Section]]:
        """Discipline → its sections, made by the discipline's view."""
        views = {entry.name: entry for entry in entry_points(group="auditkit.views")}
        return {name: views[name].load()(self) for name in self.titles if name in views}

    def _path(self, name: str) -> Path | None:
        candidates = [self.folder / f"{name}{ending}" for ending in (".parquet", MEASURED)]
        return next((path for path in candidates if path.is_file()), None)

    def _read(self, name: str) -> pa.Table:
        try:
            return pq.read_table(self.folder / name)
        except (OSError, pa.ArrowInvalid):
            raise InputError(
                f"{self.folder / name}: the evidence cannot be read; `auditkit verify {self.folder}` tells what changed"
            ) from None


def finished_audits(root: Path) -> list[Path]:
    """Folders of finished audits anywhere under a root, newest first."""
    found = [path.parent for path in root.rglob("audit.json") if (path.parent / "metrics.parquet").is_file()]
    return sorted(found, key=lambda folder: (folder / "audit.json").stat().st_mtime, reverse=True)
