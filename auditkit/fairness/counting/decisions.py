"""Labels and predictions, checked, as two yes-or-no columns: is the label positive, is the decision positive.

The positive class is the one a decision gives or flags a person with. It is named, or plain from the classes (0 and 1,
no and yes, ...); it is never guessed. With more than two classes it is judged against all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat
from auditkit.fairness.counting.columns import as_numbers, encode_labels

_PLAIN = {
    frozenset({negative, positive}): positive
    for negative, positive in (
        ("0", "1"), ("-1", "1"), ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("negative", "positive"),
        ("neg", "pos"), ("rejected", "accepted"), ("denied", "approved"), ("deny", "approve"),
    )
}  # fmt: skip
_BOOLEAN = {"true": "1", "false": "0"}
MAXIMUM_CLASSES = 1000


@dataclass(frozen=True)
class Decisions:
    """truth, decision: bool [n], whether label and prediction are the positive class; classes: those of the labels."""

    truth: npt.NDArray[np.bool_]
    decision: npt.NDArray[np.bool_]
    positive: str
    classes: tuple[str, ...]
    caveats: tuple[Caveat, ...] = ()


def positive_class(classes: Sequence[str], asked: str | None, name: str, where: str) -> str:
    """The positive class: the one asked for, or the one that is plain from the classes' names.

    >>> positive_class(["no", "yes"], None, "label", "here"), positive_class(["0", "1"], "0", "label", "here")
    ('yes', '0')
    """
    listed = ", ".join(repr(value) for value in classes[:20]) + (" …" if len(classes) > 20 else "")
    if asked is not None:
        wanted = str(asked)
        if wanted not in classes and _BOOLEAN.get(wanted.lower()) in classes:
            wanted = _BOOLEAN[wanted.lower()]
        if wanted not in classes:
            raise InputError(
                f"{where}: the positive class {wanted!r} does not occur in {name}; {nearest(wanted, classes)}"
            )
        return wanted
    plain = _PLAIN.get(frozenset(value.lower() for value in classes)) if len(classes) == 2 else None
    if plain is None:
        raise InputError(
            f"{where}: which class of {name} is the positive one? It holds {listed}; name it (--positive, or positive=)"
        )
    return next(value for value in classes if value.lower() == plain)


def decide(
    labels: pa.Array,
    predictions: pa.Array,
    positive: str | None = None,
    *,
    threshold: float | None = None,
    each: npt.NDArray[np.int64] | None = None,
    where: str = "predictions",
    label_name: str = "y_true",
    prediction_name: str = "y_pred",
) -> Decisions:
    """Check labels and predictions and say which are positive.

    labels, predictions: Arrow arrays of equal length. Predictions hold class labels, or 0 and 1 where the labels have
    other names; with a threshold, numbers that are positive decisions from it upwards. each: int64 [n], how many rows a
    record stands for, where rows were counted at their source.

    Raises InputError for no rows, unequal lengths, missing values, a single class, an unknown or undecidable positive
    class, and predictions that are no labels.
    """
    if len(labels) != len(predictions):
        raise InputError(
            f"{where}: {label_name} has {len(labels):,} rows and {prediction_name} {len(predictions):,}; give one "
            "prediction for each label"
        )
    if len(labels) == 0:
        raise InputError(f"{where}: there are no rows; give at least one for each group")
    codes, classes = encode_labels(labels, label_name, where)
    if len(classes) < 2:
        raise InputError(
            f"{where}: every row of {label_name} has the one class {classes[0]!r}; rows of two classes or more are "
            "needed to tell right decisions from wrong ones"
        )
    if len(classes) > MAXIMUM_CLASSES:
        raise InputError(
            f"{where}: {label_name} has {len(classes):,} different values and is no class label; name the column of "
            "the true class"
        )
    chosen = positive_class(classes, positive, label_name, where)
    if threshold is not None:
        decision = as_numbers(predictions, prediction_name, where) >= threshold
        caveats = [_caveat(f"a decision is positive where {prediction_name} is at least {threshold:g}", "note")]
    else:
        decided, options = encode_labels(predictions, prediction_name, where)
        decision, caveats = _decision(decided, options, chosen, classes, where, label_name, prediction_name, each)
    if decision.all() or not decision.any():
        every = "every" if decision.all() else "no"
        caveats.append(_caveat(f"{every} decision in {prediction_name} is positive: all groups are selected alike"))
    return Decisions(codes == classes.index(chosen), decision, chosen, tuple(classes), tuple(caveats))


def _decision(
    codes: npt.NDArray[np.int64],
    options: Sequence[str],
    positive: str,
    classes: Sequence[str],
    where: str,
    label_name: str,
    prediction_name: str,
    each: npt.NDArray[np.int64] | None,
) -> tuple[npt.NDArray[np.bool_], list[Caveat]]:
    strange = [value for value in options if value not in classes]
    shown = ", ".join(repr(value) for value in strange[:5]) + (" …" if len(strange) > 5 else "")
    if len(strange) == len(options):
        if set(options) <= {"0", "1"}:
            text = f"{prediction_name} holds 0 and 1, {label_name} other names: 1 was read as {positive!r}"
            return np.array([value == "1" for value in options])[codes], [_caveat(text, "note")]
        hint = "name the column of decisions"
        if len(options) > 20:
            hint = "if it is a score, give the threshold from which the decision is positive (--threshold)"
        known = ", ".join(repr(value) for value in classes[:10])
        raise InputError(
            f"{where}: {prediction_name} holds {shown}, none of which is a class of {label_name} ({known}); {hint}"
        )
    caveats = []
    if strange:
        counted = np.ones(len(codes), dtype=np.int64) if each is None else each
        rows, total = int(counted[np.isin(codes, [options.index(value) for value in strange])].sum()), counted.sum()
        if 2 * rows > total:
            raise InputError(
                f"{where}: {rows:,} of {total:,} values of {prediction_name} ({shown}) are no class of "
                f"{label_name}; name the column of decisions, or, if it is a score, give the threshold from which the "
                "decision is positive (--threshold)"
            )
        text = (
            f"{rows:,} of {total:,} values of {prediction_name} ({shown}) are no class of {label_name}; they were "
            f"counted as decisions other than {positive!r}"
        )
        caveats.append(_caveat(text))
    return np.array([value == positive for value in options])[codes], caveats


def _caveat(text: str, level: str = "warning") -> Caveat:
    return Caveat("fairness", text, "fairness", "note" if level == "note" else "warning")
