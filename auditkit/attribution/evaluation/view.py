"""How the evaluation is shown: evidence → sections. Picks rows and formats them; computes no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from auditkit import theme
from auditkit.attribution.evaluation import figures
from auditkit.evidence.section import Section, matching

NAME = "attribution"
METRICS = {
    "completeness": ("completeness gap", "rate"),
    "deletion": ("area under deletion", ""),
    "insertion": ("area under insertion", ""),
    "faithfulness": ("insertion less deletion", ""),
    "infidelity": ("infidelity, share not foretold", "rate"),
    "randomisation": ("likeness to a random model's", ""),
    "sensitivity": ("largest change among neighbours", "rate"),
    "stability": ("rank correlation between seeds", ""),
}
NULLS = ("random attribution", "input magnitude", "random model")


def sections(evidence: Any, titles: Mapping[str, str], lead: str) -> list[Section]:
    """The quorum and the curves behind it; nothing where methods were not evaluated. lead: the method shown first."""
    quorum, curves = evidence.table(f"{NAME}/quorum"), evidence.table(f"{NAME}/evaluation_curves")
    measured = evidence.table(f"{NAME}/evaluation")
    if quorum is None or measured is None or quorum.num_rows == 0:
        return []
    verdicts = {line["method"]: line for line in matching(quorum, check=figures.VERDICT)}
    shown = lead if lead in verdicts else next(iter(verdicts))
    found = [_quorum(quorum, verdicts, titles)]
    if curves is not None and curves.num_rows:
        found.append(_curves(measured, curves, titles, shown))
    return found


def _quorum(quorum: pa.Table, verdicts: Mapping[str, dict[str, Any]], titles: Mapping[str, str]) -> Section:
    by: dict[str, list[str]] = {}
    for method, line in verdicts.items():
        by.setdefault(line["status"], []).append(titles.get(method, method))
    said = [f"{_listed(by[word])} {'is' if len(by[word]) == 1 else 'are'} {word}" for word in _WORDS if word in by]
    failed = [line for line in quorum.to_pylist() if line["status"] == "fail"]
    finding = f"{'; '.join(said)}."
    if len({line["method"] for line in failed}) == 1:
        finding += " " + " ".join(f"{titles.get(line['method'], line['method'])}: {line['reason']}" for line in failed)
    n = next(iter(verdicts.values()))["n"]
    return Section(
        "believable",
        "Is it believable?",
        finding,
        figure=figures.quorum(quorum, titles),
        reading="One line a method, one column a check: ✓ passed, ✕ failed, ≈ could go either way, – does not apply. "
        "No single check makes a method believable, and one that fails is enough against it.",
        table=_quorum_table(quorum, verdicts, titles),
        how=f"On {theme.number(n, 'rows')} of the explained rows, drawn with the audit's seed. A check is decided "
        "where its whole 95 % bootstrap interval lies on one side of its limit: a mean completeness gap of at most "
        "1 %, where the method promises to add up; deletion and insertion better than by a random order, by the "
        "input's magnitude and by the same method on a model with random weights; a rank correlation of at most 0.2 "
        "between the signed attributions of the model and of copies with random weights; a change of at most half an "
        "attribution's size between neighbours with the same prediction (a convention, no constant fits all models); "
        "a rank correlation of at least 0.9 between seeds, where the method draws.",
    )


_WORDS = ("believable", "not believable", "undecided")


def _quorum_table(quorum: pa.Table, verdicts: Mapping[str, dict[str, Any]], titles: Mapping[str, str]) -> pa.Table:
    lines = [(titles.get(method, method), line["status"], line["reason"]) for method, line in verdicts.items()]
    return pa.table(dict(zip(("method", "verdict", "why"), map(list, zip(*lines, strict=True)), strict=True)))


def _curves(measured: pa.Table, curves: pa.Table, titles: Mapping[str, str], lead: str) -> Section:
    own = {line["of"]: line for line in matching(measured, method=lead, metric="faithfulness")}
    told = {of: line for of, line in own.items() if line["value"] is not None}
    finding = f"For {titles.get(lead, lead)} the area under insertion less that under deletion could not be measured."
    if "attribution" in told:
        nulls = [f"{_value(told[null])} for {_article(null)}" for null in NULLS if null in told]
        finding = f"Insertion less deletion is {_value(told['attribution'])} for {titles.get(lead, lead)}" + (
            f", beside {_listed(nulls)}." if nulls else "."
        )
    return Section(
        "faithfulness",
        "Do the explanations find what the score rests on?",
        finding,
        figure=figures.faithfulness(curves, titles, lead),
        reading="Parts go to the baseline, or come from it, in the order of each method. On the left a good order "
        "falls at once, on the right it rises at once; grey lines know nothing of the model. Band: 95 % interval.",
        table=_measured_table(measured, titles),
        how="Curves are 100 % at the row's score and 0 % at the baseline's; rows count by how far these are apart. A "
        "curve leaves that range where parts speak against the score. Infidelity is the share of the squared changes "
        "under random perturbations that the attribution, optimally scaled, does not foretell. Intervals are a "
        "percentile bootstrap over the evaluated rows.",
    )


def _measured_table(measured: pa.Table, titles: Mapping[str, str]) -> pa.Table:
    """One line per method and measure, the nulls beside it."""
    lines: list[dict[str, str]] = []
    for method in dict.fromkeys(measured.column("method").to_pylist()):
        for metric, (said, unit) in METRICS.items():
            found = {line["of"]: line for line in matching(measured, method=method, metric=metric)}
            if "attribution" not in found:
                continue
            own = found["attribution"]
            cells = {of: _number(found.get(of), unit) for of in ("attribution", *NULLS)}
            interval = theme.interval(own["lower"], own["upper"], unit)
            lines.append({"method": titles.get(method, method), "measure": said, **cells, "interval": interval})
    order = ("method", "measure", "attribution", "interval", *NULLS)
    return pa.table({name: [line[name] for line in lines] for name in order})


def _number(line: dict[str, Any] | None, unit: str) -> str:
    return theme.NO_VALUE if line is None else theme.number(line["value"], unit, line["lower"], line["upper"])


def _value(line: dict[str, Any]) -> str:
    return f"{_number(line, '')} {theme.interval(line['lower'], line['upper'])}"


def _article(null: str) -> str:
    return {"input magnitude": "the input's magnitude"}.get(null, f"a {null}")


def _listed(parts: list[str]) -> str:
    """Words in a row, as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
