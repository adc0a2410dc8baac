"""What an analysis is: it says what it needs, observes the pass split by split, and concludes.

Splits pass in the order train, validation, test, ood. When one ends, its observer is handed to the analysis again
as one of the `earlier` ones, so that an analysis may fit on it and score the next split as it streams.
Observers are mergeable: two halves of the data observed apart and merged give the same answer as the whole.
Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np

from auditkit.evidence.metrics import Findings
from auditkit.spec import AuditSpec

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from auditkit.engine.ledger import Ledger
    from auditkit.engine.progress import Progress
    from auditkit.subject.data import Split
    from auditkit.subject.subject import Subject


@dataclass(frozen=True, slots=True)
class Needs:
    """What an analysis wants to see of each forward pass. `layers` names modules, or is "all" for every layer."""

    logits: bool = False
    features: bool = False
    inputs: bool = False
    layers: tuple[str, ...] | Literal["all"] = ()

    def __bool__(self) -> bool:
        return bool(self.logits or self.features or self.inputs or self.layers)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one forward pass showed of a batch. Tensors stay on the model's device, detached, in float32.

    rows: int64 [n], positions in the split. labels: int64 [n], class indices, -1 where unknown.
    targets: float64 [n], the numbers to be predicted, NaN where unknown; None where classes are. marks: int8 [n,
    labels], of several labels which a row has (1 or 0, -1 where unknown); None where there is one.
    logits: [n, classes], of a regression the number that is predicted, [n, 1]. features: [n, width], the input of the
    last linear layer. activations: layer → [n, ...].
    """

    rows: np.ndarray
    labels: np.ndarray
    logits: Tensor
    features: Tensor | None = None
    inputs: tuple[Tensor, ...] = ()
    activations: Mapping[str, Tensor] = field(default_factory=dict)
    targets: np.ndarray | None = None
    marks: np.ndarray | None = None


class Observer(Protocol):
    """Mergeable state over the observations of one split."""

    def update(self, observation: Observation) -> None: ...

    def merge(self, other: Self) -> None: ...


def no_evidence(_name: str) -> None:
    """Where no discipline has finished, there is no table of any name."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an analysis is given to conclude with. evidence: a finished discipline's table by its full name, or None."""

    subject: Subject
    spec: AuditSpec
    ledger: Ledger
    progress: Progress
    evidence: Callable[[str], pa.Table | None] = no_evidence


class Analysis(Protocol):
    """One discipline's way through an audit. Found through the entry point group `auditkit.analyses`."""

    name: str
    title: str

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        """What the pass must show. Empty for an analysis that runs the model itself, or not at all."""
        ...

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        """A fresh observer for a split about to pass, or None to sit it out. `earlier`: split name → observer."""
        ...

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        """The findings, once every split has passed."""
        ...
