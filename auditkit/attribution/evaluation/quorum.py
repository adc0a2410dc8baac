"""The quorum: a verdict on a method, from several checks that each can be passed by something worthless.

completeness   the values add up to the change in score, where the method promises so       mean gap <= 1 %
faithfulness   their order finds what the score rests on, better than each null             interval of the gain > 0
randomisation  they change when the model's weights are drawn anew                          likeness <= 0.2
sensitivity    they stay when the row all but stays                                         change <= half of the norm
stability      they stay when the seed does not, where the method draws                     rank correlation >= 0.9

A check passes or fails only where the whole interval lies on one side of its limit, and is undecided in between; to be
no better than a random attribution, as far as the rows can tell, is to fail. A method is believable where nothing
fails or is undecided and both faithfulness and randomisation could be judged: no single check makes it so. It is not
believable where one fails. Guided Backprop deletes well, is steady, and hardly notices another model; random numbers
notice every model, and find nothing.

The limits of randomisation and completeness are those with which sound and broken methods fall far apart on small
networks; that of sensitivity is a convention, as no constant holds for all models. All are recorded with the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from auditkit import theme
from auditkit.attribution.evaluation.estimate import Estimate
from auditkit.attribution.evaluation.nulls import MAGNITUDE, MODEL, NULLS, OWN, RANDOM

Status = Literal["pass", "fail", "undecided", "not applicable"]
Verdict = Literal["believable", "not believable", "undecided"]
COMPLETE, ALIKE, MOVED, STEADY = 0.01, 0.2, 0.5, 0.9
FEWEST_ROWS = 8
ESSENTIAL = ("faithfulness", "randomisation")
CHECKS = ("completeness", "faithfulness", "randomisation", "sensitivity", "stability")
_NULL = {
    RANDOM: "a random order",
    MAGNITUDE: "the order of the input's magnitude",
    MODEL: "the same method on a model with random weights",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: a metric of an attribution, or of a null in its place. estimate: None where there is none, with the
    reason why."""

    metric: str
    of: str
    estimate: Estimate | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the quorum. reason: a sentence."""

    name: str
    status: Status
    reason: str


def quorum(measured: Sequence[Measurement]) -> tuple[Verdict, tuple[Check, ...]]:
    """The verdict on a method and its checks, from measurements of it (`of` is "attribution") and of its nulls.

    The gain in faithfulness over each null is measured as metric "gain", of that null.

    >>> quorum([Measurement("randomisation", "attribution", Estimate(0.6, 0.5, 0.7, 40))])[0]
    'not believable'
    """
    own = {part.metric: part for part in measured if part.of == OWN}
    gains = {part.of: part for part in measured if part.metric == "gain"}
    checks = (
        _completeness(own.get("completeness")),
        _faithfulness(gains),
        _randomisation(own.get("randomisation")),
        _sensitivity(own.get("sensitivity")),
        _stability(own.get("stability")),
    )
    status = {check.name: check.status for check in checks}
    if "fail" in status.values():
        return "not believable", checks
    settled = "undecided" not in status.values() and all(status[name] == "pass" for name in ESSENTIAL)
    return "believable" if settled else "undecided", checks


def reasons(title: str, verdict: Verdict, checks: Sequence[Check]) -> tuple[str, ...]:
    """The verdict in words: first itself, then what speaks for it.

    >>> reasons("Saliency", "undecided", [Check("sensitivity", "pass", "It stays.")])[0]
    'Saliency is undecided: faithfulness and randomisation could not be judged.'
    """
    by = {check.name: check for check in checks}
    if verdict == "believable":
        passed = [check.name for check in checks if check.status == "pass"]
        return (f"{title} is believable: it passes {_listed(passed)}.", *_told(checks, "pass"))
    if verdict == "not believable":
        failed = [check.name for check in checks if check.status == "fail"]
        return (
            f"{title} is not believable: it fails {_listed(failed)}.",
            *_told(checks, "fail"),
            *_told(checks, "pass"),
        )
    held = [check.name for check in checks if check.status == "undecided"]
    if held:
        return (f"{title} is undecided: {_listed(held)} could go either way.", *_told(checks, "undecided"))
    absent = [name for name in ESSENTIAL if name not in by or by[name].status == "not applicable"]
    told = tuple(check.reason for check in checks if check.name in absent)
    return (f"{title} is undecided: {_listed(absent)} could not be judged.", *told)


def _told(checks: Sequence[Check], status: Status) -> tuple[str, ...]:
    return tuple(check.reason for check in checks if check.status == status)


def _below(found: Estimate, limit: float) -> Status:
    return "pass" if found.upper <= limit else "fail" if found.lower > limit else "undecided"


def _completeness(part: Measurement | None) -> Check:
    name = "completeness"
    if (refused := _unjudged(name, part, "The method does not promise to add up.")) or part is None:
        return refused or Check(name, "not applicable", "")
    found = part.estimate
    assert found is not None
    status = _below(found, COMPLETE)
    said = {
        "pass": "Its values add up to the change in score",
        "fail": "Its values do not add up to the change in score, as the method promises",
    }.get(status, "Whether its values add up cannot be told")
    value = theme.number(found.value, "rate", found.lower, found.upper)
    return Check(name, status, f"{said}: the mean gap is {value} (at most {theme.limit(COMPLETE, 'rate')}).")


def _faithfulness(gains: Mapping[str, Measurement]) -> Check:
    name = "faithfulness"
    known = {of: part.estimate for of, part in gains.items() if part.estimate is not None}
    if RANDOM not in known:
        why = gains[RANDOM].reason if RANDOM in gains else "it was not measured"
        return Check(name, "not applicable", f"Faithfulness could not be measured: {why}.")
    if known[RANDOM].n < FEWEST_ROWS:
        return Check(name, "undecided", _few(name, known[RANDOM].n))
    beaten = {of: _beaten(of, found) for of, found in known.items()}
    order: tuple[Status, ...] = ("fail", "undecided", "pass")
    status = next(word for word in order if word in beaten.values())
    behind = _listed([_NULL[of] for of in NULLS if beaten.get(of) == status])
    said = {
        "pass": "Its order of parts finds what the score rests on",
        "fail": f"Its order of parts finds what the score rests on no better than {behind}",
    }.get(status, f"Its order of parts cannot be told from {behind}")
    gained = _listed([f"{_figure(known[of])} over {_NULL[of]}" for of in NULLS if of in known])
    return Check(name, status, f"{said}: insertion less deletion gains {gained}.")


def _beaten(null: str, gain: Estimate) -> Status:
    """Whether a null is beaten; to be like a random order is to fail, to be like another null is not."""
    if gain.lower > 0:
        return "pass"
    return "fail" if null == RANDOM or gain.upper < 0 else "undecided"


def _randomisation(part: Measurement | None) -> Check:
    name = "randomisation"
    if (refused := _unjudged(name, part, "It was not explained again with random weights.")) or part is None:
        return refused or Check(name, "not applicable", "")
    found = part.estimate
    assert found is not None
    status = _below(found, ALIKE)
    said = {
        "pass": "It shows what the model learned: with random weights it comes out different",
        "fail": "It hardly notices when the model's weights are replaced by random ones, so it shows the input and not "
        "what the model learned",
    }.get(status, "Whether it shows what the model learned cannot be told")
    text = f"{said} (rank correlation {_figure(found)}, at most {theme.limit(ALIKE)})."
    return Check(name, status, text)


def _sensitivity(part: Measurement | None) -> Check:
    name = "sensitivity"
    if (refused := _unjudged(name, part, "It was not explained again for neighbours.")) or part is None:
        return refused or Check(name, "not applicable", "")
    found = part.estimate
    assert found is not None
    status = _below(found, MOVED)
    said = {
        "pass": "It stays where the row all but stays",
        "fail": "It moves though the row all but stays and the prediction does",
    }.get(status, "How steady it is cannot be told")
    value = theme.number(found.value, "rate", found.lower, found.upper)
    text = f"{said}: by {value} of its size at most (limit {theme.limit(MOVED, 'rate')})."
    return Check(name, status, text)


def _stability(part: Measurement | None) -> Check:
    name = "stability"
    if (refused := _unjudged(name, part, "The method draws nothing.")) or part is None:
        return refused or Check(name, "not applicable", "")
    found = part.estimate
    assert found is not None
    status: Status = "pass" if found.lower >= STEADY else "fail" if found.upper < STEADY else "undecided"
    said = {
        "pass": "Another seed gives the same",
        "fail": "Another seed gives another order of parts",
    }.get(status, "Whether another seed gives the same cannot be told")
    return Check(name, status, f"{said} (rank correlation {_figure(found)}, at least {theme.limit(STEADY)}).")


def _unjudged(name: str, part: Measurement | None, absent: str) -> Check | None:
    """The check where there is nothing to hold against a limit."""
    if part is None:
        return Check(name, "not applicable", absent)
    if part.estimate is None:
        return Check(name, "not applicable", f"{name.capitalize()} could not be measured: {part.reason}.")
    if part.estimate.n < FEWEST_ROWS:
        return Check(name, "undecided", _few(name, part.estimate.n))
    return None


def _few(name: str, n: int) -> str:
    return f"{n} rows are too few to judge {name} by; {FEWEST_ROWS} are needed."


def _figure(found: Estimate) -> str:
    value = theme.number(found.value, "", found.lower, found.upper)
    return f"{value} {theme.interval(found.lower, found.upper)}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "nothing"
