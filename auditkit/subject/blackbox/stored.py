"""No model at all: what one answered, stored in a table beside the people, as a `Model` that hands it out again.

    predictions: {decision: verdict}                                a class
    predictions: {score: risk, threshold: 0.5}                      of the positive class, positive from 0.5 on
    predictions: {probabilities: {no: p_no, yes: p_yes}, features: embedding}
    predictions: {logits: {no: l_no, yes: l_yes}}
    predictions: {number: predicted_rent}                           of a regression
    predictions: {probabilities: {toxic: p_toxic, insult: p_insult}}        of several labels, each of its own

Every discipline that reads nothing but answers and feature vectors runs on it with the numbers that the model itself
would have given. What would have to ask a model about other rows (explanations, swapped values) or look into one
(activations, energy) finds the reason in `Model.lacks`.

Answers become logits in `stored_table.py`; where that cannot be done without a loss, a caveat says what is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.spec import AuditSpec, PredictionsSpec
from auditkit.subject.blackbox.answers import DECISIONS, NO_SCALE, NO_SCORES
from auditkit.subject.blackbox.raw_table import read_table_kinds
from auditkit.subject.blackbox.stored_table import (
    Reading,
    StoredPredictions,
    check_values,
    columns_named,
    matrix,
    vectors_named,
    with_scale,
)
from auditkit.subject.data import Role, Schema, Split, Task, label_text
from auditkit.subject.described import check
from auditkit.subject.model import Model
from auditkit.subject.rows import load_data
from auditkit.subject.subject import Subject

NO_MODEL = "there is no model, only what one answered to these rows, so it cannot be asked about others or looked into"
NO_VECTORS = "there is no model, and no feature vectors are stored beside its predictions (predictions.features)"
SHIFTED = (
    "decisions were made from {threshold:g} on: log-odds of the score are shifted so that 0.5 stands there, which "
    "leaves decisions and AUC as they are; calibration, log loss and Brier score are those of the shifted score"
)
MARGIN = (
    "the score is no probability: calibration, log loss, Brier score and the probabilities shown read its distance "
    "from the threshold, in standard deviations, as log-odds, which it need not be"
)


class Stored(nn.Module):
    """Gives the stored logits of its inputs; feature vectors go through `features`, where the pass finds them."""

    def __init__(self, table: StoredPredictions) -> None:
        super().__init__()
        self.place, self.told = table.place, f"{table.reading} in {', '.join(table.answers)}"
        self.features = nn.Identity() if table.vectors else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """float64 [n, C]."""
        if self.features is not None:
            self.features(inputs[self.place + 1])
        return inputs[self.place]

    def extra_repr(self) -> str:
        return self.told


@dataclass
class StoredModel(Model):
    """A `Model` around stored predictions. stored: SHA-256 of their columns over all splits."""

    stored: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the predictions' columns and of how they are read."""
        how = self.preprocessing.model_dump_json(include={"reading", "classes", "positive", "threshold", "each"})
        return hashlib.sha256(f"{how}{self.stored}".encode()).hexdigest()

    @property
    def parameters(self) -> None:
        """There is no model."""
        return None

    def layers(self) -> list[str]:
        """None: there is no model."""
        return []

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """float64 [n, classes], without a graph."""
        answers: Tensor = self.module(*inputs)
        return answers


def stored_subject(spec: AuditSpec, name: str, sources: Iterable[tuple[str, Role, Any]]) -> Subject:
    """Splits (name, role, rows) that carry predictions in their columns, as a subject to audit.

    Raises InputError for columns that are not there, predictions that are missing or not what they are said to be,
    and what no audit could judge.
    """
    stored, columns = spec.predictions, spec.columns
    if stored is None:
        raise InputError("there is no model; name the columns of what one answered as predictions")
    task = stored_task(spec)
    several = task == "multilabel"
    if several and not columns.labels:
        raise InputError("stored predictions are held against the truth: name its columns as columns.label: [..., ...]")
    if several and stored.probabilities is None and stored.logits is None:
        raise InputError(
            "of several labels the probability or logit of each is read: predictions: {probabilities: {label: "
            "column}}; for stored decisions run: auditkit.check_outcomes(task='multilabel')"
        )
    if columns.label is None and not several:
        raise InputError("stored predictions are held against the truth: name its column as columns.label")
    loaded = [
        load_data(
            source, name=split, role=role, label=columns.labels or columns.label, sensitive=columns.sensitive,
            features=columns.features or (), task=task,
            classes=None if task == "regression" else columns.labels or columns.classes or (),
        )
        for split, role, source in sources
    ]  # fmt: skip
    given, named = columns.classes, stored.probabilities or stored.logits
    if several and given is None and not isinstance(named, Mapping):
        given = columns.labels
    numbers = task == "regression"
    classes = loaded[0].schema.classes if numbers else _classes(stored, given, loaded, columns.label or "")
    schema = Schema(
        tuple(columns.features or ()), classes, columns.label, columns.positive, tuple(columns.sensitive),
        task, tuple(columns.labels),
    )  # fmt: skip
    splits = tuple(replace(split, schema=schema) for split in loaded)
    subject = Subject(name, stored_model(stored, splits, schema), splits, schema)
    check(subject)
    return subject


def stored_task(spec: AuditSpec) -> Task:
    """What was predicted. Raises InputError where columns and predictions say otherwise."""
    number, task = spec.predictions is not None and spec.predictions.number is not None, spec.columns.task
    if number and task not in (None, "regression"):
        raise InputError(f"predictions.number is a predicted number, but task is {task}; leave task out")
    if task == "regression" and not number:
        raise InputError(
            "a regression predicts a number, but the predictions are of classes; name the column of the predicted "
            "numbers as predictions.number"
        )
    return "regression" if number else task or "classification"


def stored_model(stored: PredictionsSpec, splits: Sequence[Split], schema: Schema) -> StoredModel:
    """The model that hands out what is stored in these splits, after every stored value was checked.

    >>> import pyarrow as pa
    >>> rows = pa.table({"y": [0, 1, 1], "risk": [3, 8, 5]})
    >>> schema = Schema((), ("0", "1"), "y", "1")
    >>> split = Split("test", "test", rows, schema)
    >>> model = stored_model(PredictionsSpec(score="risk", threshold=5), [split], schema)
    >>> model.logits(model.encode(split)).argmax(dim=1).tolist()
    [0, 1, 1]
    """
    reading, answers = _answers(stored, splits, schema)
    names = {*answers, *(vectors := vectors_named(stored.features, splits))}
    for column in (schema.label, *schema.labels, *schema.sensitive, *schema.features):
        if column in names:
            raise InputError(f"predictions: {column!r} is also named under columns, but it cannot be both")
    raw = read_table_kinds(splits, schema.features)
    table = StoredPredictions(
        **raw.model_dump(), reading=reading, answers=answers, classes=schema.classes, vectors=vectors,
        each=schema.task == "multilabel",
    )  # fmt: skip
    check_values(table, splits)
    if reading == "score":
        table = with_scale(table, stored.threshold, splits, schema.positive_index)
    state = hashlib.sha256()
    for split in splits:
        for part in table.encode(split)[table.place :][: 1 + bool(vectors)]:
            state.update(f"{split.name}{tuple(part.shape)}".encode())
            state.update(part.numpy().tobytes())
    told = f"{reading} in {', '.join(answers[:5])}" + (f" and {len(answers) - 5} more" if len(answers) > 5 else "")
    return StoredModel(
        Stored(table),
        schema.classes,
        table,
        penultimate="features" if vectors else None,
        device=torch.device("cpu"),
        architecture={"path": "stored predictions", "predictions": stored.model_dump(exclude_none=True)},
        schema=schema,
        task=schema.task,
        origin=f"no model: stored predictions, {told}",
        lacks=_lacks(table),
        caveats=tuple(_caveats(table, splits, told)),
        stored=state.hexdigest(),
    )


def _classes(
    stored: PredictionsSpec, given: Sequence[str] | None, splits: Sequence[Split], label: str
) -> tuple[str, ...]:
    """Those named, in the order of the stored answers; else the labels that occur, and the classes decided for."""
    own = next((tuple(named) for named in (stored.probabilities, stored.logits) if isinstance(named, Mapping)), None)
    if own is not None:
        if given is not None and set(map(str, given)) != set(own):
            raise InputError(f"predictions name the classes {', '.join(own)}, but columns.classes {', '.join(given)}")
        return own
    if given is not None:
        return tuple(map(str, given))
    named = [label] if stored.decision is None else [label, stored.decision]
    values = {
        text
        for split in splits
        for name in named
        if name in split.table.column_names
        for value in split.table.column(name).unique().to_pylist()
        if (text := label_text(value)) is not None
    }
    whole = all(text.lstrip("-").isdigit() for text in values)
    return tuple(sorted(values, key=int) if whole else sorted(values))


def _answers(stored: PredictionsSpec, splits: Sequence[Split], schema: Schema) -> tuple[Reading, tuple[str, ...]]:
    """What is stored, and in which columns, one for each class where there are several."""
    if stored.number is not None:
        return "number", (stored.number,)
    if stored.decision is not None:
        return "decision", (stored.decision,)
    if stored.score is not None:
        if len(schema.classes) != 2:
            raise InputError(
                f"predictions.score is for two classes, but there are {len(schema.classes)} "
                f"({', '.join(schema.classes[:10])}); give probabilities or logits of each"
            )
        if schema.positive is None:
            raise InputError(
                f"predictions.score must be that of a class: name {' or '.join(map(repr, schema.classes))} as "
                "columns.positive"
            )
        return "score", (stored.score,)
    reading: Reading = "probabilities" if stored.probabilities is not None else "logits"
    named = stored.probabilities if reading == "probabilities" else stored.logits
    assert named is not None
    found = (
        tuple(named.values()) if isinstance(named, Mapping) else columns_named(named, splits, f"predictions.{reading}")
    )
    width = matrix(splits[0], found, np.arange(1)).shape[1]
    if width != len(schema.classes):
        raise InputError(
            f"predictions.{reading}: {width} numbers are stored for each row, but there are {len(schema.classes)} "
            f"classes ({', '.join(schema.classes[:10])}); name them in the order of the numbers as columns.classes"
        )
    return reading, found


def _lacks(table: StoredPredictions) -> dict[str, str]:
    missing = {"model": NO_MODEL, "gradients": NO_MODEL}
    if not table.vectors:
        missing["layers"] = NO_VECTORS
    if table.reading == "decision":
        missing["scores"] = NO_SCORES
    elif (table.reading == "probabilities" and not table.each) or (table.reading == "score" and table.chance):
        missing["scale"] = NO_SCALE
    return missing


def _caveats(table: StoredPredictions, splits: Sequence[Split], told: str) -> Iterable[Caveat]:
    yield Caveat(
        "model",
        f"There was no model: what was judged are stored predictions ({told}), as they stand in the data; whether a "
        "model gives them was not checked.",
        "model",
    )
    texts = []
    if table.reading == "decision":
        texts.append(DECISIONS)
    if table.reading == "score" and not table.chance:
        texts.append(MARGIN)
    if table.reading == "score" and table.chance and table.threshold != 0.5:
        texts.append(SHIFTED.format(threshold=table.threshold))
    if table.reading == "probabilities" and not table.each:
        off = max(float(np.abs(matrix(split, table.answers).sum(axis=1) - 1).max()) for split in splits)
        if off > 1e-4:
            texts.append(f"the stored probabilities add up to 1 only within {off:.2g}; they were made to add up")
    yield from (Caveat("model", text[0].upper() + text[1:] + ".", "model") for text in texts)
