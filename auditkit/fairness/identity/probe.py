"""Identity swaps of an audit's model: its sentences encoded as the model's own inputs, scored, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from auditkit.engine.analysis import Context
from auditkit.evidence.metrics import Findings
from auditkit.fairness.identity.dimensions import Dimension, dimension_of, shipped
from auditkit.fairness.identity.swaps import identity_findings
from auditkit.fairness.settings import Settings

PHASE, ROWS = "identity swaps", 256


def speaks(context: Context) -> bool:
    """Whether the model can be asked about any sentence: it reads text, and gives a number or the score of a class."""
    reads = hasattr(context.subject.model.preprocessing, "encode_texts")
    return reads and "rows" not in context.subject.model.lacks and (_numbers(context) or _positive(context) is not None)


def identity_part(context: Context, settings: Settings) -> Findings:
    """The swaps that the audit names, or those that come with auditkit. Sentences are counted in the cost ledger."""
    preprocessing = context.subject.model.preprocessing
    knows = getattr(preprocessing, "knows", None)
    return identity_findings(
        dimensions_of(context.spec.fairness.identity),
        lambda texts: _scores(context, texts),
        settings,
        threshold=None if _numbers(context) else 0.5,
        knows=knows,
    )


def dimensions_of(given: Mapping[str, Mapping[str, object]] | None) -> Sequence[Dimension]:
    """The dimensions of an `audit.yaml`, or the shipped ones where it names none."""
    if not given:
        return shipped()
    return tuple(dimension_of(name, content) for name, content in given.items())


def _numbers(context: Context) -> bool:
    """Whether the model predicts a number."""
    return context.subject.schema.task == "regression"


def _positive(context: Context) -> int | None:
    """The class whose probability is looked at: the positive one, or the second of two."""
    schema = context.subject.schema
    if schema.positive_index is None and len(schema.classes) == 2:
        return 1
    return schema.positive_index


def _scores(context: Context, texts: list[str]) -> npt.NDArray[np.float64]:
    """The positive class's probability for any sentences, or the number that is predicted, float64 [n]."""
    model, positive = context.subject.model, _positive(context)
    parts = []
    with model.evaluating():
        for start in range(0, len(texts), ROWS):
            inputs = model.preprocessing.encode_texts(texts[start : start + ROWS])  # type: ignore[union-attr]
            logits = model.logits(tuple(part.to(model.device) for part in inputs)).detach().cpu().double()
            parts.append((logits[:, 0] if _numbers(context) else logits.softmax(dim=1)[:, positive]).numpy())
    context.ledger.distinct(PHASE, "templates", len(texts))
    context.ledger.forward(PHASE, "templates", len(texts))
    return np.concatenate(parts)
