"""Holding variants against their original: the same test rows, side by side, and a sentence on each.

found = compare_variants(subject, [derive(model, "int8"), derive(model, "pruned", share=0.8)])
for name, sentence in found.sentences.items(): print(sentence)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from auditkit.engine.meter import Meter
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings
from auditkit.spec import AuditSpec
from auditkit.subject.model import Model
from auditkit.subject.subject import Subject
from auditkit.variants.answers import ask, test_split
from auditkit.variants.derive import name_of
from auditkit.variants.differences import REPLICATES, Compared, changed, differences, rows_of, summed_of
from auditkit.variants.findings import Measured, Told, findings_of
from auditkit.variants.number_measures import rows_with_numbers
from auditkit.variants.size import size_of
from auditkit.variants.speed import BATCHES, energies, latencies
from auditkit.variants.verdict import sentence_of

ORIGINAL = "original"


@dataclass(frozen=True)
class Comparison:
    """What was found. sentences: variant → what got worse, for whom. findings: metric rows, tables and caveats."""

    name: str
    sentences: dict[str, str]
    compared: tuple[Compared, ...]
    findings: Findings

    def worse(self, variant: str) -> list[Compared]:
        """What got worse beyond chance, after Holm over all that was looked at."""
        return [one for one in self.compared if one.variant == variant and one.judged(0.95) == "worse"]


def compare_variants(
    subject: Subject,
    variants: Sequence[Model],
    *,
    spec: AuditSpec | None = None,
    speed: bool = True,
    meter: Meter | None = None,
    replicates: int = REPLICATES,
    progress: Progress | None = None,
) -> Comparison:
    """Compare models with the subject's own on its test rows, and its out-of-distribution splits where it has some.

    variants: usually from `derive`, but any models of the same classes. spec: settings as in audit.yaml (seed,
    confidence, minimum_group, detectors, energy). speed: whether latency and energy are measured, which takes a few
    seconds a model. Raises InputError for a subject without a test split and for variants of other classes.
    """
    spec, progress = spec or AuditSpec(), progress or Progress(quiet=True)
    test = test_split(subject)
    models = {ORIGINAL: subject.model}
    if subject.model.task == "multilabel":
        raise InputError(
            f"{subject.model.origin}: variants are compared by one decision or number for each row, and it predicts "
            "several labels"
        )
    for model in variants:
        if model.classes != subject.model.classes:
            raise InputError(
                f"{model.origin}: its classes are {', '.join(model.classes)}, those of the original "
                f"{', '.join(subject.model.classes)}; only models of the same classes can be compared"
            )
        models[_unlike(name_of(model) if name_of(model) != ORIGINAL else model.origin, models)] = model
    if len(models) < 2:
        raise InputError("there is no variant to compare; name at least one of int8, bf16, pruned and distilled")
    answers = []
    for name, model in models.items():
        progress.say(f"{subject.name}: one forward pass of {name}")
        answers.append(ask(name, model, subject, spec, progress))
    if subject.model.task == "regression":
        kept = rows_with_numbers([one.numbers for one in answers], spec.fairness.minimum_group)
        left_out = {one.name: one.numbers.broken for one in answers if one.numbers.broken}
        answers = [replace(one, given=one.numbers.among(kept)) for one in answers]
        rows = rows_of(test, answers[0].numbers.truth, subject.schema, spec, kept)
    else:
        left_out = {one.name: one.predictions.broken for one in answers if one.predictions.broken}
        rows = rows_of(test, answers[0].predictions.labels, subject.schema, spec)
    progress.say(f"{subject.name}: {replicates:,} paired resamples")
    compared = differences(rows, answers[0], answers[1:], spec, replicates)
    measured = None
    if speed:
        progress.say(f"{subject.name}: latency and energy, in turns")
        measured = _measure(list(models.values()), subject, spec, meter)
    told = Told(
        test.name,
        tuple(answers),
        tuple(compared),
        tuple(size_of(model) for model in models.values()),
        changed(rows, answers),
        tuple(summed_of(rows, one).worst() for one in answers),
        tuple(rows.unjudged),
        left_out,
        measured,
    )
    level = spec.performance.confidence
    sentences = {
        one.name: sentence_of(one.name, [c for c in compared if c.variant == one.name], told.churn.get(one.name), level)
        for one in answers[1:]
    }
    return Comparison(subject.name, sentences, tuple(compared), findings_of(told, sentences, spec, subject))


def _measure(models: list[Model], subject: Subject, spec: AuditSpec, meter: Meter | None) -> Measured:
    test = test_split(subject)
    times = {rows: latencies(models, test, rows) for rows in BATCHES}
    meter = meter or Meter(spec.energy.country)
    seconds = min(spec.energy.seconds, 0.5)
    return Measured(times, energies(models, test, max(BATCHES), meter, blocks=spec.energy.blocks, seconds=seconds))


def _unlike(name: str, taken: dict[str, Model]) -> str:
    """The name, numbered where it is taken."""
    count = 2
    unlike = name
    while unlike in taken:
        unlike, count = f"{name} ({count})", count + 1
    return unlike
