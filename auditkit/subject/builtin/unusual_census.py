"""`unusual_census`: people of the UCI Adult table as usual rows, and people put together from several as unusual ones.

Made of `adult`. In the unusual half of test every column but age, sex and race is taken from another person with
probability one half, so that each value is ordinary and only their company is strange. `wrong_unit` are usual test
rows with the weekly hours times 100. Sex, race and age band stay true, so that it can be asked who is called unusual.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.subject.builtin.adult import adult
from auditkit.subject.data import Schema, Split

CLASSES = ("usual", "unusual")
SEED = 1996
KEPT = ("age", "sex", "race")
ROWS = {"train": 12_000, "validation": 4_000}
ORIGIN = "built-in unusual_census"


def unusual_census() -> tuple[dict[str, Split], Schema]:
    """Sensitive: sex, race and age_band; positive: unusual. Train and validation are usual rows alone."""
    dealt, known = adult()
    schema = Schema(known.features, CLASSES, "kind", CLASSES[1], known.sensitive)
    random = np.random.default_rng(SEED)
    tables = {name: _some(dealt[name].table, rows, random) for name, rows in ROWS.items()}
    test = dealt["test"].table
    order = random.permutation(len(test))
    usual, donors = test.take(order[: len(test) // 2]), test.take(order[len(test) // 2 :])
    mixed = _mixed(donors, [name for name in known.features if name not in KEPT], random)
    tables["test"] = pa.concat_tables([usual, mixed])
    tables["wrong_unit"] = dealt["wrong_unit"].table.take(order[: len(test) // 2])
    kinds = {name: ["usual"] * len(table) for name, table in tables.items()}
    kinds["test"] = ["usual"] * len(usual) + ["unusual"] * len(mixed)
    kinds["wrong_unit"] = ["unusual"] * len(tables["wrong_unit"])
    splits = {
        name: Split(
            name,
            name if name in ("train", "validation", "test") else "ood",  # type: ignore[arg-type]
            table.append_column("kind", pa.array(kinds[name])),
            schema,
            origin=ORIGIN,
        )
        for name, table in tables.items()
    }
    return splits, schema


def _some(table: pa.Table, rows: int, random: np.random.Generator) -> pa.Table:
    return table.take(np.sort(random.permutation(len(table))[:rows]))


def _mixed(table: pa.Table, columns: list[str], random: np.random.Generator) -> pa.Table:
    """Every value of these columns is, with probability one half, that of another row."""
    for name in columns:
        own = np.arange(len(table))
        rows = np.where(random.random(len(table)) < 0.5, random.permutation(len(table)), own)
        table = table.set_column(table.column_names.index(name), name, table.column(name).take(rows))
    return table
