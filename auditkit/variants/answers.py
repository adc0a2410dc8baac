"""What a model answers: one pass over the rows, for its predictions on test and its out-of-distribution scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from auditkit.engine.analysis import Analysis, Context, Needs, Observer
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings
from auditkit.ood.analysis import OodAnalysis
from auditkit.ood.calibrated import Calibrated, calibrated
from auditkit.ood.fusion import PRIMARY
from auditkit.ood.registry import FUSED
from auditkit.ood.scores import ScoreObserver
from auditkit.performance.observer import PredictionObserver, Predictions
from auditkit.performance.regression.observer import NumberObserver, Numbers
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.model import Model
from auditkit.subject.subject import Subject

SHOWN = ("gen", "mahalanobis", FUSED)
"""The detectors compared where none are named: one of the logits, one of the features, and all primary ones as one."""


@dataclass(frozen=True)
class Answers:
    """A model's answers to the test rows, in their order, and its scores of every split that is scored.

    given: decisions with their probabilities, or of a model of numbers those that it predicts.
    """

    name: str
    model: Model
    given: Predictions | Numbers
    ood: Calibrated | None

    @property
    def predictions(self) -> Predictions:
        """The decisions of a classifier."""
        assert isinstance(self.given, Predictions)
        return self.given

    @property
    def numbers(self) -> Numbers:
        """The numbers that are predicted."""
        assert isinstance(self.given, Numbers)
        return self.given

    def detectors(self, spec: AuditSpec) -> list[str]:
        """The detectors that are compared and have scores."""
        wanted: Sequence[str] = SHOWN if spec.ood.detectors is None else (*spec.ood.detectors, FUSED)
        if self.ood is None:
            return []
        return [name for name in wanted if name in self.ood.detectors and self.ood.refusal(name) is None]


class _Predictions:
    """Keeps the predictions on test."""

    name = "answers"
    title = "Answers"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        """Logits."""
        return Needs(logits=True)

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        """The test split alone."""
        if split.role != "test":
            return None
        return NumberObserver() if split.schema.task == "regression" else PredictionObserver()

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        """Nothing by itself."""
        return Findings()


def test_split(subject: Subject) -> Split:
    """The rows that models are compared on. Raises InputError where there are none."""
    if not subject.of_role("test"):
        raise InputError("there is no test split; variants are compared on test data: name its file as data.test")
    return subject.of_role("test")[0]


def ask(name: str, model: Model, subject: Subject, spec: AuditSpec, progress: Progress) -> Answers:
    """One pass of a model over the subject's rows; training and validation rows only where there are strange ones."""
    test, strange = test_split(subject), subject.of_role("ood")
    kept = subject.splits if strange else (test,)
    if spec.ood.detectors is None:
        spec = spec.model_copy(update={"ood": spec.ood.model_copy(update={"detectors": list(PRIMARY)})})
    own = replace(subject, model=model, splits=tuple(kept))
    context = Context(own, spec, Ledger(), progress)
    analyses: list[Analysis] = [_Predictions(), *([OodAnalysis()] if strange else [])]
    seen = run_pass(context, analyses)
    observer = seen["answers"][test.name]
    assert isinstance(observer, PredictionObserver | NumberObserver)
    scores = {split: found for split, found in seen.get("ood", {}).items() if isinstance(found, ScoreObserver)}
    known = None
    if scores:
        roles = {split.name: split.role for split in own.in_order()}
        panel = next(iter(scores.values())).panel
        known = calibrated(panel, {split: found.scores() for split, found in scores.items()}, roles, spec)
    given = observer.numbers() if isinstance(observer, NumberObserver) else observer.predictions()
    return Answers(name, model, given, known)
