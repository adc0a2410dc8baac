"""Answers of a black box, and what they are as logits.

| outputs | what the black box gives | as logits |
|---|---|---|
| probabilities | `predict_proba`; [n, C], or [n] of the second class | log p, p at least 2.2e-16, so softmax is p |
| margins | `decision_function`; [n, C], or [n] towards the second class | as they are, with a caveat: no odds |
| logits | [n, C], or [n] of the second class | as they are |
| decisions | `predict`; [n] class names | log p of a certain answer |
| numbers | `predict`; [n] or [n, 1], what a regression predicts | [n, 1], as they are |

Of several labels each has an answer of its own: probabilities [n, L] become log p - log(1 - p), decisions are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.subject.data import label_text

Outputs = Literal["probabilities", "margins", "logits", "decisions", "numbers"]
ASKED: dict[Outputs, str] = {
    "probabilities": "predict_proba",
    "margins": "decision_function",
    "logits": "decision_function",
    "decisions": "predict",
    "numbers": "predict",
}
SURE = float(np.finfo(np.float64).eps)
"""probabilities below this count as this much, as in scikit-learn's log loss"""
SUM_TOLERANCE = 1e-4
NO_GRADIENTS = "the model is a black box, which gives answers and no gradients"
NO_LAYERS = "the model is a black box, whose layers cannot be seen"
NO_SCALE = "the model gives probabilities, which fix logits only up to a constant, so their size says nothing"
NO_SCORES = "the model gives decisions without scores, so no answer is surer than another"
MARGINS = (
    "the model gives margins (decision_function), not probabilities: calibration, log loss, Brier score and the "
    "probabilities shown read them as log-odds, which they need not be"
)
DECISIONS = (
    "the model gives decisions without scores: every answer counts as certain, so log loss, Brier score, calibration "
    "and AUC say no more than its errors do"
)


def as_logits(answers: Any, rows: int, outputs: Outputs, classes: Sequence[str], name: str) -> npt.NDArray[np.float64]:
    """A black box's answers as logits float64 [n, C]. Raises InputError for answers that are not what was said.

    >>> as_logits([0.0, 2.0], 2, "margins", ["no", "yes"], "it").tolist()
    [[0.0, 0.0], [0.0, 2.0]]
    """
    if outputs == "decisions":
        return _of_decisions(answers, rows, classes, name)
    try:
        values = np.asarray(answers.detach().cpu() if isinstance(answers, Tensor) else answers, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} was to give {outputs}, but its answers are no numbers") from None
    if outputs == "numbers":
        if values.shape not in ((rows,), (rows, 1)):
            raise InputError(f"{name} gave answers of shape {values.shape} to {rows} rows; one number each is audited")
        return values.reshape(rows, 1).copy()  # a data frame's own column may not be written to
    if values.shape in ((rows,), (rows, 1)) and len(classes) == 2:
        second = values.reshape(rows)
        values = np.stack([1 - second if outputs == "probabilities" else np.zeros(rows), second], axis=1)
    if values.shape != (rows, len(classes)):
        raise InputError(
            f"{name} gave answers of shape {values.shape} to {rows} rows; for the classes {', '.join(classes[:10])} "
            f"they must be {(rows, len(classes))}"
        )
    if outputs != "probabilities":
        return values
    known = values[np.isfinite(values).all(axis=1)]
    if (known < -SUM_TOLERANCE).any() or (np.abs(known.sum(axis=1) - 1) > SUM_TOLERANCE).any():
        raise InputError(
            f"{name} was to give probabilities, but they are not between 0 and 1 or do not add up to 1 in each row; "
            "where they are logits or margins, say so: outputs='logits'"
        )
    return np.log(np.maximum(values, SURE))


def as_label_logits(
    answers: Any, rows: int, outputs: Outputs, labels: Sequence[str], name: str
) -> npt.NDArray[np.float64]:
    """A black box's answers about several labels as logits float64 [n, L], yes from 0 on.

    What scikit-learn gives for several outputs, a list of probabilities [n, 2] of each label, is read too.
    Raises InputError for answers that are not what was said.

    >>> as_label_logits([[0.5, 1.0]], 1, "probabilities", ["a", "b"], "it").round(1).tolist()
    [[0.0, 36.0]]
    """
    if isinstance(answers, list) and answers and all(getattr(part, "ndim", 0) == 2 for part in answers):
        if strange := [label for label, part in zip(labels, answers, strict=False) if part.shape[1] != 2]:
            raise InputError(f"{name} does not tell yes from no for {strange[0]!r}: its training rows had one of them")
        answers = np.stack([part[:, 1] for part in answers], axis=1)
    try:
        values = np.asarray(answers.detach().cpu() if isinstance(answers, Tensor) else answers, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} was to give {outputs}, but its answers are no numbers") from None
    if values.shape != (rows, len(labels)):
        raise InputError(
            f"{name} gave answers of shape {values.shape} to {rows} rows; for the labels {', '.join(labels[:10])} "
            f"they must be {(rows, len(labels))}"
        )
    if outputs not in ("probabilities", "decisions"):
        return values.copy()
    known = values[np.isfinite(values)]
    if outputs == "decisions" and not np.isin(known, (0, 1)).all():
        raise InputError(f"{name} was to decide 0 or 1 for each label, but gives other values")
    if (known < -SUM_TOLERANCE).any() or (known > 1 + SUM_TOLERANCE).any():
        raise InputError(
            f"{name} was to give the probability of each label, but they are not between 0 and 1; where they are "
            "logits or margins, say so: outputs='logits'"
        )
    return log_odds(values)


def log_odds(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log p - log(1 - p), with p at least 2.2e-16 from 0 and 1; NaN stays."""
    found: npt.NDArray[np.float64] = np.log(np.maximum(values, SURE)) - np.log(np.maximum(1 - values, SURE))
    return found


def _of_decisions(answers: Any, rows: int, classes: Sequence[str], name: str) -> npt.NDArray[np.float64]:
    given = [label_text(answer) for answer in np.asarray(answers).ravel().tolist()]
    if strange := sorted({str(answer) for answer in given if answer not in classes}):
        raise InputError(f"{name} decided {', '.join(strange[:5])}, which is none of {', '.join(classes[:10])}")
    if len(given) != rows:
        raise InputError(f"{name} gave {len(given)} decisions for {rows} rows")
    values = np.full((rows, len(classes)), np.log(SURE))
    values[np.arange(rows), [classes.index(str(answer)) for answer in given]] = 0.0
    return values


def lacking(outputs: Outputs, each: bool = False) -> dict[str, str]:
    """What a black box with such answers cannot show, and why, as `Model.lacks` has it.

    each: whether probabilities are of several labels, each of its own, which say how large a logit is.
    """
    missing = {"gradients": NO_GRADIENTS, "layers": NO_LAYERS}
    if outputs == "probabilities" and not each:
        missing["scale"] = NO_SCALE
    if outputs == "decisions":
        missing["scores"] = NO_SCORES
    return missing


def reading_caveats(outputs: Outputs, left_out: str) -> tuple[Caveat, ...]:
    """What to read before trusting such answers. left_out: what the model's digest does not cover."""
    told = {"margins": MARGINS, "decisions": DECISIONS}.get(outputs)
    texts = [text for text in (told, left_out) if text]
    return tuple(Caveat("model", text[0].upper() + text[1:] + ".", "model") for text in texts)
