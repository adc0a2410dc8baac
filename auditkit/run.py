"""Runs an audit: subject → pass → analyses → evidence → verdict. The table of contents of the program.

An audit is named by the digest of its inputs (spec, model, data, code). The same inputs give the same name: an audit
that was killed goes on at the first discipline without a finished record, and one already done returns at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from auditkit.engine.analysis import Analysis, Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import Observers, observers_of, run_pass
from auditkit.engine.meter import Meter
from auditkit.engine.progress import Progress
from auditkit.environment import code_identity, environment
from auditkit.errors import AuditError, InputError, nearest
from auditkit.evidence.audit import Audit
from auditkit.evidence.manifest import write_atomically
from auditkit.evidence.metrics import Caveat, Findings
from auditkit.evidence.store import RunFolder, to_json
from auditkit.gates import judge, overall
from auditkit.spec import AuditSpec
from auditkit.subject.subject import Subject


def run_audit(subject: Subject, spec: AuditSpec, root: Path, progress: Progress | None = None) -> Audit:
    """Audit a subject and leave the evidence under `root/<name>/<audit id>`.

    Raises InputError where the spec asks for what there is not, AuditError where a discipline could not finish; what
    was finished before is kept, and the same call goes on from there.
    """
    progress = progress or Progress(quiet=True)
    analyses = [_load_analysis(name) for name in spec.analyses]
    identities = _identities(subject, spec)
    audit_id = hashlib.sha256(to_json(identities["inputs"])).hexdigest()[:12]
    run = RunFolder(root / (re.sub(r"[^\w.-]+", "-", spec.name).strip("-.") or "audit") / audit_id)
    if run.complete:
        progress.say(f"{spec.name}: nothing changed since audit {audit_id}; its evidence is at {run.folder}")
        return Audit(run.folder)

    remaining = [analysis for analysis in analyses if not run.finished(analysis.name)]
    if len(remaining) < len(analyses):
        kept = ", ".join(a.name for a in analyses if a not in remaining)
        going_on = f"going on with {remaining[0].name}" if remaining else "writing the verdict"
        progress.say(f"{spec.name}: resuming audit {audit_id}: {kept} already done, {going_on}")
    context = Context(subject, spec, Ledger(), progress, run.table)
    costs = _Costs(run.folder / "costs.json", Meter(spec.energy.country), context.ledger)
    observers = _pass(context, remaining, costs)
    for analysis in remaining:
        progress.say(f"{spec.name}: {analysis.title.lower()}")
        findings = _conclude(analysis, context, observers, costs)
        if analysis.name == "energy":
            _add_phases(findings, costs, subject)
        run.write(analysis.name, findings)
    return _finish(run, subject, spec, analyses, identities, audit_id, costs)


def _load_analysis(name: str) -> Analysis:
    known = {entry.name: entry for entry in entry_points(group="auditkit.analyses")}
    if name not in known:
        raise InputError(f"analyses: there is no analysis {name!r}; {nearest(name, known)}")
    analysis: Analysis = known[name].load()()
    return analysis


def _pass(context: Context, remaining: Sequence[Analysis], costs: _Costs) -> Observers:
    looking_on = [analysis for analysis in remaining if analysis.needs(context.subject, context.spec)]
    if not looking_on:
        return {}
    names = ", ".join(analysis.name for analysis in looking_on)
    context.progress.say(f"{context.spec.name}: one forward pass for {names}")
    with costs.phase("pass"), _finishing("the pass"):
        return run_pass(context, looking_on)


def _conclude(analysis: Analysis, context: Context, observers: Observers, costs: _Costs) -> Findings:
    with costs.phase(analysis.name), _finishing(analysis.name):
        return analysis.conclude(context, observers_of(observers, analysis.name))


@contextmanager
def _finishing(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is told as one sentence."""
    try:
        yield
    except (InputError, AuditError):
        raise
    except Exception as problem:
        raise AuditError(
            f"{what} could not finish ({type(problem).__name__}: {problem}); what was done before it is kept, and the "
            "same command goes on from there"
        ) from problem


class _Costs:
    """What each phase cost, kept beside the evidence as it grows so that a resumed audit still knows it."""

    def __init__(self, path: Path, meter: Meter, ledger: Ledger) -> None:
        self.path, self.meter, self.ledger = path, meter, ledger
        self.earlier: dict[str, list[dict[str, Any]]] = {"phases": [], "ledger": []}
        if path.is_file():
            self.earlier = json.loads(path.read_text(encoding="utf-8"))

    def phase(self, name: str) -> _Phase:
        return _Phase(self, name)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        phases = [cost.record() for cost in self.meter.costs]
        return {
            "phases": self.earlier["phases"] + phases,
            "ledger": self.earlier["ledger"] + self.ledger.entries(),
        }


class _Phase:
    """A metered phase whose cost is on disk as soon as it ends."""

    def __init__(self, costs: _Costs, name: str) -> None:
        self.costs, self.metered = costs, costs.meter.phase(name)

    def __enter__(self) -> None:
        self.metered.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self.metered.__exit__(*raised)
        write_atomically(self.costs.path, to_json(self.costs.records()))


def _add_phases(findings: Findings, costs: _Costs, subject: Subject) -> None:
    """What training, pass and disciplines cost, beside what the energy discipline measured itself."""
    from auditkit.energy.phases import phase_rows, phases_table

    table = phases_table(costs.records()["phases"], subject.model.record.get("energy"))
    findings.measured_tables["phases"] = table
    findings.measured.extend(phase_rows(table))


def _finish(
    run: RunFolder,
    subject: Subject,
    spec: AuditSpec,
    analyses: Sequence[Analysis],
    identities: dict[str, Any],
    audit_id: str,
    costs: _Costs,
) -> Audit:
    names = [analysis.name for analysis in analyses]
    results, measured = run.rows(names)
    gates, skipped = _gates_of(spec)
    judged = judge([*results, *measured], gates)
    caveats = [*subject.model.caveats, *_data_caveats(subject), *skipped, *run.caveats(names)]
    record = {
        "name": spec.name,
        "audit_id": audit_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.model_dump(mode="json"),
        "schema": asdict(subject.schema),
        "identities": {key: value for key, value in identities.items() if key != "inputs"},
        "titles": {analysis.name: analysis.title for analysis in analyses},
        "verdict": overall(judged),
        "gates": [asdict(result) for result in judged],
        "caveats": [asdict(caveat) for caveat in caveats],
        "ledger": costs.records()["ledger"],
    }
    run.finish(names, record)
    return Audit(run.folder)


def _gates_of(spec: AuditSpec) -> tuple[dict[str, Any], list[Caveat]]:
    """The gates on disciplines that were run, and a caveat for each that was left out with its discipline."""
    left_out = [name for name in spec.gates if "/" in name and name.split("/")[0] not in spec.analyses]
    caveats = [
        Caveat("audit", f"the gate on {name} was not judged, because {name.split('/')[0]} was not run", name)
        for name in left_out
    ]
    return {name: gate for name, gate in spec.gates.items() if name not in left_out}, caveats


def _data_caveats(subject: Subject) -> list[Caveat]:
    return [
        Caveat("data", f"split {split.name}, {column}: {what}, in {count:,} of {len(split):,} rows", column)
        for split in subject.in_order()
        for column, count, what in subject.model.preprocessing.irregularities(split)
    ]


def _from_here(origin: str) -> str:
    """Where something came from; a path below the working folder is told from there, not with all folders above."""
    path = Path(origin)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else origin


def _identities(subject: Subject, spec: AuditSpec) -> dict[str, Any]:
    model = subject.model
    code = code_identity()
    data = {
        split.name: {"role": split.role, "rows": len(split), "digest": split.digest, "origin": _from_here(split.origin)}
        for split in subject.in_order()
    }
    return {
        "model": {
            "digest": model.digest,
            "origin": _from_here(model.origin),
            "parameters": model.parameters,
            "architecture": model.architecture or {"path": type(model.module).__qualname__},
            "device": str(model.device),
            "record": model.record,
        },
        "data": data,
        "code": code,
        "environment": environment(model.device),
        "inputs": {
            "spec": spec.model_dump(mode="json", exclude={"model", "data"}),
            "schema": asdict(subject.schema),
            "model": [model.digest, model.preprocessing.model_dump(mode="json"), str(model.module)],
            "reading": [model.keywords, model.takes, model.output, model.gives, [one.text for one in model.caveats]],
            "device": str(model.device),
            "data": {name: [entry["role"], entry["digest"]] for name, entry in data.items()},
            "code": code["digest"],
        },
    }
