"""PartAttribution: which inputs the model's answers rest on, row by row and overall, each explanation checked.

A seeded sample of one split is explained by every method that is valid for the model. The pass is not needed: the
analysis runs the model itself, through the row engine, and the cost ledger says how often.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch

from auditkit.attribution.evaluation.audited import assessed, evaluation_findings
from auditkit.attribution.explicands import Explicands, PartAttribution, explicands_of, target_text
from auditkit.attribution.method import Validity, example_inputs
from auditkit.attribution.partition import window_edges, window_names
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.attribution.summary import (
    agreement_rows,
    check_rows,
    global_table,
    importance_rows,
    row_agreement,
    sensitive_rows,
    value_directions,
)
from auditkit.attribution.tables import (
    baseline_table,
    column_explanations,
    map_explanations,
    method_table,
    preflight_table,
    row_groups,
    row_table,
    series_explanations,
    word_explanations,
)
from auditkit.attribution.whole_set import whole_set
from auditkit.attribution.words import word_table
from auditkit.engine.analysis import Context, Needs, Observer
from auditkit.engine.readable import readable_inputs
from auditkit.engine.rows import RowEngine
from auditkit.engine.space import SpaceError
from auditkit.errors import InputError, nearest
from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.spec import AuditSpec
from auditkit.subject.data import Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import SeriesPreprocessing, TablePreprocessing
from auditkit.subject.subject import Subject

NAME = "attribution"
DRAW, BASELINE, BOOTSTRAP = 310, 311, 312
"""streams of the audit's seed"""


class AttributionAnalysis:
    """Explains a stated sample of rows and says how far each explanation can be trusted."""

    name = NAME
    title = "Explanations"

    def needs(self, subject: Subject, spec: AuditSpec) -> Needs:
        return Needs()

    def observe(self, context: Context, split: Split, earlier: Mapping[str, Observer]) -> Observer | None:
        return None

    def conclude(self, context: Context, observers: Mapping[str, Observer]) -> Findings:
        spec, model = context.spec, context.subject.model
        if reason := model.lacks.get("model"):
            return _nothing(reason, {}, model)
        split = _explained_split(context)
        if split is None:
            return _nothing(f"there is no split {spec.attribution.split!r} to explain", {}, model)
        validity = {name: METHODS[name].valid_for(model, example_inputs(model)) for name in _wanted(spec)}
        usable = [name for name, found in validity.items() if found.status != "refused"]
        if not usable:
            return _nothing("no attribution method is valid for this model", validity, model)
        rows = drawn_rows(len(split), spec.attribution.rows, spec.seed)
        with model.evaluating():
            try:
                engine = RowEngine(model, split, context.ledger, NAME, spec.batch_size)
                explicands = _explicands(context, engine, split, rows)
            except SpaceError as problem:
                return _nothing(str(problem), validity, model)
            context.ledger.distinct(NAME, split.name, len(rows))
            found = {
                name: METHODS[name].run(engine, explicands, Settings.of(spec.attribution, spec.seed))
                for name in context.progress.track(usable, len(usable), "explaining", "methods")
            }
        for name in [name for name, part in found.items() if not torch.isfinite(part.values).all(dim=1).any()]:
            del found[name]
            validity[name] = Validity("refused", "its attributions are not finite for any row")
        explicands, found, strange = finite_only(explicands, found)
        if len(explicands) == 0 or not found:
            return _nothing("no explained row has a finite score and finite attributions", validity, model)
        findings = _findings(context, split, explicands, found, validity)
        findings.caveats += _caveats(context, engine, explicands, found, validity, strange)
        if spec.attribution.evaluate:
            _evaluate(context, engine, explicands, found, findings)
        return findings


def _evaluate(
    context: Context,
    engine: RowEngine,
    explicands: Explicands,
    found: dict[str, PartAttribution],
    findings: Findings,
) -> None:
    """Add to the findings whether the methods are believable."""
    spec = context.spec
    settings, confidence = Settings.of(spec.attribution, spec.seed), spec.attribution.confidence
    with context.subject.model.evaluating():
        judged = assessed(engine, explicands, found, settings, confidence, context.progress)
    more = evaluation_findings(judged, found, engine.split.name, confidence, spec.seed)
    findings.metrics += more.metrics
    findings.tables |= more.tables
    findings.caveats += more.caveats


def drawn_rows(available: int, wanted: int, seed: int) -> np.ndarray:
    """Which rows are explained: a seeded draw without replacement, in order.

    >>> drawn_rows(3, 10, 0).tolist()
    [0, 1, 2]
    """
    if available <= wanted:
        return np.arange(available)
    return np.sort(np.random.default_rng([seed, DRAW]).choice(available, wanted, replace=False))


def finite_only(
    explicands: Explicands, found: Mapping[str, PartAttribution]
) -> tuple[Explicands, dict[str, PartAttribution], int]:
    """Drop the rows in which a score or any method's attribution is not finite; also how many they were."""
    kept = torch.isfinite(explicands.change)
    for attribution in found.values():
        kept &= torch.isfinite(attribution.values).all(dim=1)
    if kept.all():
        return explicands, dict(found), 0
    return explicands.take(kept), {name: part.take(kept) for name, part in found.items()}, int((~kept).sum())


def _explained_split(context: Context) -> Split | None:
    """The split to explain; a name the user chose that is none is an error, a missing default is not."""
    settings = context.spec.attribution
    split = context.subject.split(settings.split)
    if split is None and "split" in settings.model_fields_set:
        known = [part.name for part in context.subject.splits]
        raise InputError(f"attribution.split: there is no split {settings.split!r}; {nearest(settings.split, known)}")
    return split


def _wanted(spec: AuditSpec) -> list[str]:
    """The methods asked for; where none is named, those that audits use."""
    usual = [name for name, method in METHODS.items() if method.in_audits]
    names = usual if spec.attribution.methods is None else spec.attribution.methods
    for name in names:
        if name not in METHODS:
            raise InputError(f"attribution.methods: there is no method {name!r}; {nearest(name, METHODS)}")
    return names


def _explicands(context: Context, engine: RowEngine, split: Split, rows: np.ndarray) -> Explicands:
    reference = next(iter(context.subject.of_role("train")), None)
    return explicands_of(engine, split, rows, reference, context.spec.seed + BASELINE)


def _findings(
    context: Context,
    split: Split,
    explicands: Explicands,
    found: dict[str, PartAttribution],
    validity: dict[str, Validity],
) -> Findings:
    spec, model = context.spec, context.subject.model
    confidence = spec.attribution.confidence
    rng = np.random.default_rng([spec.seed, BOOTSTRAP])
    explained = _explained(context, explicands, found, split, rng)
    findings = Findings(
        tables={
            f"{NAME}/methods": method_table(validity, model),
            f"{NAME}/rows": row_table(explicands, found, split, target_text(split.schema)),
            f"{NAME}/explanations": explained.pop("explanations"),
            f"{NAME}/inputs": readable_inputs(model.preprocessing, split, explicands.rows),
            f"{NAME}/baseline": baseline_table(model, explicands),
            f"{NAME}/preflight": preflight_table(validity, model),
            f"{NAME}/row_agreement": row_agreement(explicands, found),
            f"{NAME}/row_groups": row_groups(explicands, split),
        }
        | {f"{NAME}/{name}": table for name, table in explained.items()}
    )
    if isinstance(model.preprocessing, TablePreprocessing):
        numeric = [column.name for column in model.preprocessing.numeric]
        findings.tables[f"{NAME}/directions"] = value_directions(explicands, found, split, numeric)
    findings.metrics += check_rows(explicands, found, split)
    present = None if explicands.present is None else explicands.present.cpu().numpy()
    findings.metrics += agreement_rows(found, split, confidence, rng, present)
    if explicands.shape is None:
        if "global" in explained:
            findings.metrics += importance_rows(explained["global"], split, confidence)
        findings.metrics += sensitive_rows(explicands, found, split, confidence, rng)
    together = whole_set(explicands, found, split, confidence, spec.seed)
    findings.tables |= together.tables
    findings.metrics += together.metrics
    findings.caveats += together.caveats
    findings.metrics += [
        MetricRow(NAME, "completeness_gap", split.name, detail=name, status="not applicable", reason=state.reason)
        for name, state in validity.items()
        if state.status == "refused"
    ]
    return findings


def _explained(
    context: Context, explicands: Explicands, found: dict[str, PartAttribution], split: Split, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """The rows' explanations and what they say together, in the tables of the kind of rows."""
    spec, preprocessing = context.spec, context.subject.model.preprocessing
    if explicands.words is not None:
        words = word_table(explicands, found, split, spec.attribution.confidence)
        return {"explanations": word_explanations(explicands, found), "words": words}
    if isinstance(preprocessing, SeriesPreprocessing):
        windows = window_names(window_edges(preprocessing.steps, len(preprocessing.channels)))
        parts = np.arange(len(preprocessing.channels) * len(windows)).reshape(-1, len(windows))
        channels = dict(zip(preprocessing.channels, parts.tolist(), strict=True))
        times = dict(zip(windows, parts.T.tolist(), strict=True))
        return {
            "explanations": series_explanations(preprocessing, explicands, found),
            "global": global_table(explicands, found, split, spec, rng, channels),
            "windows": global_table(explicands, found, split, spec, rng, times, groups=False),
        }
    explanations = column_explanations if explicands.shape is None else map_explanations
    return {
        "global": global_table(explicands, found, split, spec, rng),
        "explanations": explanations(explicands, found),
    }


def _caveats(
    context: Context,
    engine: RowEngine,
    explicands: Explicands,
    found: dict[str, PartAttribution],
    validity: dict[str, Validity],
    strange: int,
) -> list[Caveat]:
    caveats = []
    for name, state in validity.items():
        if state.status == "valid":
            continue
        expected = state.expected and context.spec.attribution.methods is None
        text = f"{METHODS[name].title} is {state.status}: {state.reason}."
        caveats.append(Caveat(NAME, text, f"{NAME}/{name}", "note" if expected else "warning"))
    if not engine.independent:
        text = "The model's answer to a row depends on the rows beside it; each row was explained on its own."
        caveats.append(Caveat(NAME, text, NAME))
    if explicands.baseline.plain:
        text = f"The baseline is {explicands.baseline.description}; it may stand for no real row."
        caveats.append(Caveat(NAME, text, f"{NAME}/baseline"))
    if strange:
        text = f"{strange} of {strange + len(explicands)} rows gave values that are not finite and are not explained."
        caveats.append(Caveat(NAME, text, NAME))
    for name, attribution in found.items():
        if explicands.present is not None and bool((attribution.values[~explicands.present] != 0).any()):
            text = f"{METHODS[name].title} attributes something to places without a word; what a model does with "
            caveats.append(Caveat(NAME, text + "places that only fill up should be looked at.", f"{NAME}/{name}"))
        open_rows = 0 if attribution.converged is None else int((~attribution.converged).sum())
        if open_rows:
            text = (
                f"{METHODS[name].title}: {open_rows} of {len(explicands)} rows still miss the tolerance of "
                f"{context.spec.attribution.tolerance:g} after {int(attribution.steps.max())} steps."  # type: ignore[union-attr]
            )
            caveats.append(Caveat(NAME, text, f"{NAME}/{name}"))
    return caveats


def _nothing(reason: str, validity: dict[str, Validity], model: Model) -> Findings:
    """Findings that say why there are none."""
    rows = [MetricRow(NAME, "completeness_gap", status="not applicable", reason=reason)]
    tables = {f"{NAME}/methods": method_table(validity, model)} if validity else {}
    details = "".join(f" {METHODS[name].title}: {state.reason}." for name, state in validity.items() if state.reason)
    return Findings(metrics=rows, tables=tables, caveats=[Caveat(NAME, f"Nothing was explained: {reason}.{details}")])
