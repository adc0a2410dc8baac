"""What `auditkit fairness` does: read a table of predictions, or counts, check it, say what was found."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditkit.errors import InputError
from auditkit.fairness.result import Check, FairnessCheck
from auditkit.fairness.settings import Options
from auditkit.spec import read_yaml

LARGE = 256 * 2**20


@dataclass(frozen=True)
class Asked:
    """The columns a check is asked for, as the options of the command name them."""

    label: str | None = None
    prediction: str | None = None
    sensitive: Sequence[str] = ()
    task: str = "binary"
    score: str | None = None
    positive: str | None = None
    threshold: float | None = None
    weight: str | None = None
    stratum: str | None = None
    cluster: str | None = None
    control: Sequence[str] = ()
    features: Sequence[str] = ()
    query: str | None = None
    previous: str | None = None
    by_row: tuple[str, ...] = field(
        default=("score", "threshold", "stratum", "cluster", "control", "features", "previous"), repr=False
    )

    @property
    def needs_rows(self) -> bool:
        """Whether counts by label, decision and group are not enough."""
        return any(getattr(self, name) not in (None, (), []) for name in self.by_row)


def run_check(
    table: Path,
    asked: Asked,
    options: Options,
    *,
    out: Path | None = None,
    counts: Path | None = None,
    suppress: int | None = None,
    as_json: bool = False,
) -> int:
    """Check a file, print what was found, keep evidence and counts where asked. Returns the exit code, 0 or 1.

    out: the folder of evidence. counts: the file to write counts to, with cells below `suppress` withheld. Raises
    InputError.
    """
    check = checked(table, asked, options)
    if counts is not None:
        _write_counts(check, counts, suppress)
    elif suppress is not None:
        raise InputError("--suppress says what to withhold in a file of counts; name that file (--counts FILE)")
    folder = None
    if out is not None:
        from auditkit.fairness.record import keep

        folder = keep(check, out)
    _show(check, folder, counts, as_json)
    return check.exit_code


def checked(table: Path, asked: Asked, options: Options) -> Check:
    """The check of a table of predictions, or of a file of counts."""
    from auditkit.fairness.counting.published import is_counts_file

    if is_counts_file(table):
        from auditkit.fairness.counted import check_counts

        return check_counts(table, **options)
    prediction = _named(asked.prediction, "--prediction", "the decisions or scores", table)
    if asked.task != "binary":
        return _outcomes(table, prediction, asked, options)
    label = _named(asked.label, "--label", "the true class", table)
    if is_large(table) and not asked.needs_rows:
        from auditkit.fairness.counting.pushdown import check_table

        return check_table(
            table, label=label, prediction=prediction, sensitive=asked.sensitive, positive=asked.positive,
            weight=asked.weight, **options,
        )  # fmt: skip
    from auditkit.fairness.check import check_predictions
    from auditkit.fairness.counting.table import read_predictions

    found = read_predictions(
        table, label, prediction, asked.score, asked.sensitive, asked.positive, asked.threshold, asked.previous,
        asked.weight, asked.stratum, asked.cluster, asked.control, asked.features,
    )  # fmt: skip
    return check_predictions(found, **options)


def _named(column: str | None, option: str, what: str, table: Path) -> str:
    if column is None:
        raise InputError(f"{table}: which column holds {what}? Name it ({option})")
    return column


def _outcomes(table: Path, prediction: str, asked: Asked, options: Options) -> Check:
    from auditkit.fairness.counting.table import read_columns
    from auditkit.fairness.outcomes.check import Outcomes, check_of

    if asked.task == "multilabel":
        raise InputError("sets of labels are checked from Python (auditkit.check_outcomes), not from one column")
    label = asked.label if asked.task == "ranking" else _named(asked.label, "--label", "the truth", table)
    names = [label, prediction, asked.weight, asked.query, *asked.sensitive]
    columns = read_columns(table, [name for name in names if name is not None])
    outcomes = Outcomes(
        None if label is None else columns[label],
        columns[prediction],
        None if asked.weight is None else columns[asked.weight],
        None if asked.query is None else columns[asked.query],
        where=str(table),
        label_name=f"column {label!r}",
        prediction_name=f"column {prediction!r}",
    )
    return check_of(asked.task, outcomes, {name: columns[name] for name in asked.sensitive}, options)


def _write_counts(check: Check, path: Path, suppress: int | None) -> None:
    from auditkit.fairness.counting.published import PublishedCounts, write_counts

    if not isinstance(check, FairnessCheck):
        raise InputError("counts are kept of decisions only; leave out --counts for this task")
    published = PublishedCounts.of(check)
    write_counts(published if suppress is None else published.suppressed(suppress), path)


def _show(check: Check, folder: Path | None, counts: Path | None, as_json: bool) -> None:
    from auditkit.fairness.terminal import render, to_json

    if as_json:
        kept = {"evidence": None if folder is None else str(folder)}
        json.dump(to_json(check) | kept, sys.stdout, ensure_ascii=False, allow_nan=False, indent=2)
        sys.stdout.write("\n")
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(render(check, console.width))
    if counts is not None:
        console.print(f"\ncounts:   {counts}", soft_wrap=True)
    if folder is not None:
        console.print(
            f"\nevidence: {folder}\nreports:  auditkit report {folder} --format html,markdown", soft_wrap=True
        )


def is_large(table: Path) -> bool:
    """Whether a table is counted where it lies rather than read: several files, or one of more than 256 MiB."""
    several = table.is_dir() or any(sign in str(table) for sign in "*?[")
    return several or (table.is_file() and table.stat().st_size > LARGE)


def read_policy(path: Path) -> dict[str, Any]:
    """The gates in a YAML file, by themselves or under the key `gates`."""
    content = read_yaml(path)
    inner = content.get("gates")
    return inner if set(content) == {"gates"} and isinstance(inner, dict) else content


def read_population(path: Path) -> Mapping[str, Mapping[str, float]]:
    """Attribute → group → share of the population, from a YAML file. Raises InputError for anything else."""
    content = read_yaml(path)
    whole = all(isinstance(shares, dict) for shares in content.values())
    if not whole or not all(isinstance(share, int | float) for shares in content.values() for share in shares.values()):
        raise InputError(f"{path}: write an attribute, and under it each group with its share, such as 0.51")
    return {
        str(name): {str(group): float(share) for group, share in shares.items()} for name, shares in content.items()
    }
