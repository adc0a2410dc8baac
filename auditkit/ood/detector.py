"""What a detector is: something fitted on the training split that gives every row a score, larger = more unlike it.

All detectors here are functions of what one forward pass shows (logits, penultimate features, inputs), so none of them
runs the model again. Fitting reads the `Reference`, which was streamed; scoring reads an `Observation`, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from auditkit.engine.analysis import Observation

if TYPE_CHECKING:
    from auditkit.ood.reference import Reference

Sees = Literal["logits", "features", "inputs"]
Score = Callable[[Observation], Tensor]
"""float64 [n] on the observation's device; larger = more unlike the training rows"""


class NotApplicableError(Exception):
    """A detector cannot be fitted here; the message says why."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A detector ready to score. `facts` are worth knowing of the fit: how many neighbours, a condition number.

    `blame` (where there is one) says which of `columns` made each row's score: int64 [n].
    """

    score: Score
    facts: Mapping[str, float] = field(default_factory=dict)
    blame: Callable[[Observation], Tensor] | None = None
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Detector:
    """One way to tell that a row is strange.

    sees: what of the pass it reads; a detector that sees only logits can take a gross error for a confident case.
    valid_for: which models and data it is meant for. source: where it was published. scale: whether it reads how large
    the logits are, which says nothing where they were made of probabilities. one_class: whether it is meant for models
    of one class alone. modality: the kind of rows that it is meant for alone, None where it is for all. classes:
    whether it reads logits of classes of which one is right, as a softmax does (exclusive), or of labels that are a yes
    or no each (several); None where it may read either.
    """

    name: str
    title: str
    sees: Sees
    valid_for: str
    source: str
    fit: Callable[[Reference], Fitted]
    scale: bool = False
    one_class: bool = False
    modality: str | None = None
    classes: Literal["exclusive", "several"] | None = None
