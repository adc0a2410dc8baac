"""The quorum: which checks make a verdict, and what it says in words."""

import pytest

from auditkit.attribution.evaluation.estimate import Estimate
from auditkit.attribution.evaluation.quorum import CHECKS, Measurement, quorum, reasons


def measured(**changed: Estimate | None) -> list[Measurement]:
    """All that a sound method shows, with some of it changed; None leaves it out."""
    sound = {
        "completeness": Estimate(0.002, 0.001, 0.003, 32),
        "random attribution": Estimate(0.9, 0.8, 1.0, 32),
        "input magnitude": Estimate(0.3, 0.2, 0.4, 32),
        "random model": Estimate(0.8, 0.7, 0.9, 32),
        "randomisation": Estimate(0.01, -0.05, 0.07, 32),
        "sensitivity": Estimate(0.1, 0.05, 0.15, 32),
    } | changed
    known = {name: found for name, found in sound.items() if found is not None}
    return [
        Measurement(name, "attribution", found) if name in CHECKS else Measurement("gain", name, found)
        for name, found in known.items()
    ]


def verdict(**changed: Estimate | None) -> str:
    return quorum(measured(**changed))[0]


def test_all_that_can_be_judged_must_pass():
    assert verdict() == "believable"
    assert verdict(completeness=None) == "believable"
    assert verdict(stability=Estimate(0.97, 0.95, 0.99, 32)) == "believable"


@pytest.mark.parametrize("name", ["random attribution", "randomisation"])
def test_no_verdict_for_it_without_the_essential_checks(name):
    assert verdict(**{name: None}) == "undecided"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("completeness", Estimate(0.05, 0.04, 0.06, 32)),
        ("random attribution", Estimate(0.01, -0.05, 0.07, 32)),
        ("input magnitude", Estimate(-0.3, -0.4, -0.2, 32)),
        ("randomisation", Estimate(0.6, 0.5, 0.7, 32)),
        ("sensitivity", Estimate(0.9, 0.8, 1.0, 32)),
        ("stability", Estimate(0.3, 0.2, 0.4, 32)),
    ],
)
def test_one_failure_is_enough_against_it(name, found):
    assert verdict(**{name: found}) == "not believable"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("completeness", Estimate(0.01, 0.005, 0.02, 32)),
        ("input magnitude", Estimate(0.05, -0.05, 0.15, 32)),
        ("random model", Estimate(0.05, -0.05, 0.15, 32)),
        ("randomisation", Estimate(0.2, 0.1, 0.3, 32)),
        ("sensitivity", Estimate(0.5, 0.4, 0.6, 32)),
        ("randomisation", Estimate(0.0, 0.0, 0.0, 7)),
    ],
)
def test_an_interval_over_the_limit_or_too_few_rows_decide_nothing(name, found):
    assert verdict(**{name: found}) == "undecided"


def test_the_words_say_what_failed_and_what_was_measured():
    judged, checks = quorum(measured(randomisation=Estimate(0.61, 0.55, 0.66, 32)))
    said = reasons("Guided Backprop", judged, checks)
    assert said[0] == "Guided Backprop is not believable: it fails randomisation."
    assert "hardly notices when the model's weights are replaced by random ones" in said[1]
    assert "0.61 [0.55, 0.66]" in said[1]
    assert any("insertion less deletion gains 0.90" in sentence for sentence in said)


def test_the_words_say_what_could_not_be_judged():
    lacking = [Measurement("randomisation", "attribution", None, "the model shows no weights"), *measured()[:4]]
    judged, checks = quorum(lacking)
    said = reasons("Occlusion", judged, checks)
    assert judged == "undecided"
    assert said[0] == "Occlusion is undecided: randomisation could not be judged."
    assert "the model shows no weights" in said[1]
