"""Preprocessing: from a split's human-readable columns to the tensors a model takes. It travels with the model.

One class for each kind of rows; all answer `modality`, `columns`, `encode`, `example`, `arguments`, `irregularities`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from auditkit.errors import InputError, nearest
from auditkit.spec import parse
from auditkit.subject.data import Schema, Split
from auditkit.subject.preprocessing.image import ImagePreprocessing, fit_images
from auditkit.subject.preprocessing.series import SeriesPreprocessing, fit_series
from auditkit.subject.preprocessing.table import (
    MISSING,
    Categorical,
    Numeric,
    Place,
    TablePreprocessing,
    category_values,
    fit_table,
    numeric_values,
)
from auditkit.subject.preprocessing.text import TextPreprocessing, fit_text
from auditkit.subject.preprocessing.tokenizer import TokenizerPreprocessing, fit_tokenizer

__all__ = [
    "MISSING",
    "AnyPreprocessing",
    "Categorical",
    "ImagePreprocessing",
    "Numeric",
    "Place",
    "Preprocessing",
    "SeriesPreprocessing",
    "TablePreprocessing",
    "TextPreprocessing",
    "TokenizerPreprocessing",
    "category_values",
    "fit_images",
    "fit_preprocessing",
    "fit_series",
    "fit_table",
    "fit_text",
    "fit_tokenizer",
    "numeric_values",
    "parse_preprocessing",
]

AnyPreprocessing = (
    TablePreprocessing | ImagePreprocessing | TextPreprocessing | TokenizerPreprocessing | SeriesPreprocessing
)
Preprocessing = Annotated[AnyPreprocessing, Field(discriminator="kind")]
KINDS: dict[str, type[BaseModel]] = {
    "table": TablePreprocessing,
    "image": ImagePreprocessing,
    "text": TextPreprocessing,
    "tokenizer": TokenizerPreprocessing,
    "series": SeriesPreprocessing,
}


def parse_preprocessing(content: dict[str, Any], where: str) -> AnyPreprocessing:
    """Preprocessing as somebody wrote it, with its `kind`. Raises InputError that says where it is wrong.

    >>> parse_preprocessing({"kind": "image", "shape": [1, 8, 8]}, "audit.yaml").columns
    ('images',)
    """
    kind = str(content.get("kind", ""))
    if kind not in KINDS:
        raise InputError(f"{where}: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    found: AnyPreprocessing = parse(content, KINDS[kind], where)
    return found


def fit_preprocessing(
    split: Split, schema: Schema, options: dict[str, Any] | None = None, near: Path | None = None
) -> AnyPreprocessing:
    """Preprocessing of the training rows. options: `kind`, and what `fit_table` and its like take beyond the split.
    near: the folder that a tokenizer's path is relative to.

    Without a kind, an array is read as images, one column of sentences as text, and anything else as a table.
    """
    options = dict(options or {})
    kind = str(options.pop("kind", None) or _kind(split, schema))
    if kind not in KINDS:
        raise InputError(f"preprocessing: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    if kind == "table":
        makers: Any = (fit_table, schema.features)
    elif not schema.features:
        raise InputError(f"preprocessing: a {kind} needs the column that holds it; name it as columns.features")
    else:
        fits = {"image": fit_images, "text": fit_text, "tokenizer": fit_tokenizer, "series": fit_series}
        makers = (fits[kind], schema.features[0])
    if near is not None and "tokenizer" in options:
        options["tokenizer"] = near / Path(options["tokenizer"]).expanduser()
    try:
        found: AnyPreprocessing = makers[0](split, makers[1], **options)
    except TypeError as problem:
        raise InputError(f"preprocessing of kind {kind!r}: {problem}") from None
    return found


def _kind(split: Split, schema: Schema) -> str:
    if any(name in split.arrays for name in schema.features):
        return "image"
    if len(schema.features) == 1 and pa.types.is_string(split.column(schema.features[0]).type):
        texts = split.column(schema.features[0]).drop_null()
        sentences = sum(" " in text for text in texts.slice(0, 1000).to_pylist())
        if sentences > 0.5 * min(len(texts), 1000):
            return "text"
    return "table"
