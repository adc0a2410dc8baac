"""Fairness-aware training on UCI Adult: the built-in recipe without a mitigation and with each, by sex.

Trained on the training rows, stopped by the validation rows, judged once on the test rows; intervals are those of
`check_fairness`, changes are paired on the same rows. Sex is among the columns the networks see.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import auditkit as ak
from auditkit.fairness.result import FairnessCheck
from auditkit.subject.builtin import builtin
from auditkit.training.recipe import load_recipe
from auditkit.training.train import train

TITLE = "Fairness-aware training on UCI Adult"
SEEDS = (0, 1, 2)
PARITY, ODDS = "demographic_parity", "equalized_odds"
METHODS: dict[str, dict[str, Any] | None] = {
    "no mitigation": None,
    "reweighing": {"method": "reweighing"},
    "adversarial, demographic parity": {"method": "adversarial", "constraint": PARITY},
    "adversarial, equalized odds": {"method": "adversarial", "constraint": ODDS},
    "exponentiated gradient, demographic parity": {"method": "exponentiated_gradient", "constraint": PARITY},
    "exponentiated gradient, equalized odds": {"method": "exponentiated_gradient", "constraint": ODDS},
}
GAPS = (f"{PARITY}_difference", f"{ODDS}_difference")
Row = dict[str, str]


@dataclass(frozen=True)
class Judged:
    """A model's decisions on the test rows, and what `check_fairness` says of them."""

    decisions: npt.NDArray[np.int64]
    check: FairnessCheck
    seconds: float

    def row(self, metric: str, attribute: str = "") -> Any:
        """One line of the check's."""
        (found,) = [
            row for row in self.check.metrics if (row.metric, row.attribute, row.group) == (metric, attribute, "")
        ]
        return found


def judge(method: dict[str, Any] | None, seed: int, against: Judged | None) -> Judged:
    splits, schema = builtin("adult")
    mitigation = None if method is None else {"sensitive": ["sex"], **method}
    recipe = load_recipe("adult").model_copy(update={"mitigation": mitigation, "seed": seed})
    began = time.perf_counter()
    model = train(recipe, splits, schema, device="cpu")
    seconds = time.perf_counter() - began
    test = splits["test"]
    with model.evaluating(), torch.inference_mode():
        decisions = model.logits(model.encode(test)).argmax(1).numpy()
    check = ak.check_fairness(
        test.labels,
        decisions,
        sensitive_features={"sex": test.column("sex").to_pylist()},
        positive=1,
        policy={GAPS[0]: {"at_most": 0.1}},
        previous=decisions if against is None else against.decisions,
    )
    return Judged(decisions, check, seconds)


def told(row: Any) -> str:
    return f"{100 * row.value:.1f} [{100 * row.lower:.1f}, {100 * row.upper:.1f}]"


def line(name: str, found: Judged, first: bool) -> Row:
    return {
        "what": name,
        "accuracy, %": told(found.row("accuracy")),
        "change, paired, points": "" if first else told(found.row("accuracy_change")),
        "demographic parity difference, points": told(found.row(GAPS[0], "sex")),
        "equalized odds difference, points": told(found.row(GAPS[1], "sex")),
        "seconds": f"{found.seconds:.0f}",
    }


def spread(name: str, found: Sequence[Judged]) -> Row:
    def over(metric: str, attribute: str = "") -> str:
        values = [100 * one.row(metric, attribute).value for one in found]
        return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"

    return {
        "what": f"{name}: mean of {len(found)} seeds (lowest to highest)",
        "accuracy, %": over("accuracy"),
        "change, paired, points": "" if name == next(iter(METHODS)) else over("accuracy_change"),
        "demographic parity difference, points": over(GAPS[0], "sex"),
        "equalized odds difference, points": over(GAPS[1], "sex"),
        "seconds": f"{statistics.mean(one.seconds for one in found):.0f}",
    }


def rows(seeds: Sequence[int] = SEEDS) -> list[Row]:
    found: dict[str, list[Judged]] = {name: [] for name in METHODS}
    usual = next(iter(METHODS))
    for seed in seeds:
        for name, method in METHODS.items():
            against = found[usual][-1] if name != usual else None
            found[name].append(judge(method, seed, against))
    made = [line(name, judged[0], name == usual) for name, judged in found.items()]
    return made + ([spread(name, judged) for name, judged in found.items()] if len(seeds) > 1 else [])
