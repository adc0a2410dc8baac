"""What each fairness metric is: one table of rates, one of the gaps between groups.

A rate is a share of some cells of the table label × decision:

                      decision 0          decision 1
        label 0    TN true negative    FP false positive
        label 1    FN false negative   TP true positive

A gap compares one rate, or the worst of several, between all groups: as the largest difference, or as the smallest
ratio. Sources: Hardt, Price and Srebro (2016), "Equality of Opportunity in Supervised Learning"; Chouldechova (2017),
"Fair Prediction with Disparate Impact"; names follow fairlearn.

A new metric is one more line here.
"""

from dataclasses import dataclass
from typing import Literal

from auditkit.evidence.metrics import Better

Cell = tuple[int, int]
TN, FP, FN, TP = (0, 0), (0, 1), (1, 0), (1, 1)
Kind = Literal["difference", "ratio"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share: rows in `numerator` cells among rows in `denominator` cells. `among` says whom the latter are."""

    name: str
    title: str
    numerator: tuple[Cell, ...]
    denominator: tuple[Cell, ...]
    better: Better
    among: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A comparison of rates between groups: the largest difference or the smallest ratio, the worst over `rates`."""

    name: str
    title: str
    rates: tuple[str, ...]
    kind: Kind
    meaning: str

    @property
    def better(self) -> Better:
        """Differences should be small, ratios near one."""
        return "lower" if self.kind == "difference" else "higher"

    @property
    def unit(self) -> str:
        """Differences of rates are counted in points."""
        return "points" if self.kind == "difference" else "ratio"


_ALL = (TN, FP, FN, TP)
RATES: dict[str, Rate] = {
    rate.name: rate
    for rate in (
        Rate("selection_rate", "selection rate", (FP, TP), _ALL, "none", "rows", "share given the positive decision"),
        Rate("true_positive_rate", "true positive rate", (TP,), (FN, TP), "higher", "rows with a positive label",
             "share of positive labels that were found"),
        Rate("false_positive_rate", "false positive rate", (FP,), (TN, FP), "lower", "rows with a negative label",
             "share of negative labels wrongly given the positive decision"),
        Rate("false_negative_rate", "false negative rate", (FN,), (FN, TP), "lower", "rows with a positive label",
             "share of positive labels that were missed"),
        Rate("true_negative_rate", "true negative rate", (TN,), (TN, FP), "higher", "rows with a negative label",
             "share of negative labels rightly given the negative decision"),
        Rate("precision", "precision", (TP,), (FP, TP), "higher", "rows with a positive decision",
             "share of positive decisions that were right"),
        Rate("negative_predictive_value", "negative predictive value", (TN,), (TN, FN), "higher",
             "rows with a negative decision", "share of negative decisions that were right"),
        Rate("false_discovery_rate", "false discovery rate", (FP,), (FP, TP), "lower", "rows with a positive decision",
             "share of positive decisions that were wrong"),
        Rate("false_omission_rate", "false omission rate", (FN,), (TN, FN), "lower", "rows with a negative decision",
             "share of negative decisions that were wrong"),
        Rate("accuracy", "accuracy", (TN, TP), _ALL, "higher", "rows", "share of decisions that were right"),
        Rate("base_rate", "base rate", (FN, TP), _ALL, "none", "rows", "share with a positive label"),
    )
}  # fmt: skip

_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("demographic_parity", "demographic parity", ("selection_rate",)),
    ("equal_opportunity", "equal opportunity", ("true_positive_rate",)),
    ("predictive_equality", "predictive equality", ("false_positive_rate",)),
    ("equalized_odds", "equalized odds", ("true_positive_rate", "false_positive_rate")),
    ("predictive_parity", "predictive parity", ("precision",)),
    ("accuracy", "accuracy", ("accuracy",)),
)


def _gaps() -> dict[str, Gap]:
    gaps = {}
    for name, title, rates in _FAMILIES:
        of = " or ".join(RATES[rate].title for rate in rates)
        for kind, meaning in (
            ("difference", f"largest difference in {of} between two groups"),
            ("ratio", f"smallest ratio of two groups' {of}, the smaller over the larger"),
        ):
            gaps[f"{name}_{kind}"] = Gap(f"{name}_{kind}", f"{title} {kind}", rates, kind, meaning)  # type: ignore[arg-type]
    gaps["four_fifths"] = Gap(
        "four_fifths",
        "four-fifths",
        ("selection_rate",),
        "ratio",
        "the demographic parity ratio, to be held against 0.8: an engineering reading, not a legal finding",
    )
    return gaps


GAPS: dict[str, Gap] = _gaps()

Other = Literal["overall", "reference"]
OTHERS: dict[Other, str] = {"overall": "everybody", "reference": "the reference group"}


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the farthest group's rate is from that of everybody, or of a reference group."""

    gap: Gap
    other: Other

    @property
    def name(self) -> str:
        """The gap's name and what groups are held against, as fairlearn says it."""
        return f"{self.gap.name}_to_{self.other}"

    @property
    def title(self) -> str:
        """The name in words."""
        return f"{self.gap.title} to {OTHERS[self.other]}"


DISTANCES: dict[str, Distance] = {
    distance.name: distance
    for other in OTHERS
    for distance in (Distance(gap, other) for gap in GAPS.values() if gap.name != "four_fifths")
}
EXTREMES: dict[str, tuple[Rate, Literal["min", "max"]]] = {
    f"{rate.name}_group_{end}": (rate, end) for rate in RATES.values() for end in ("min", "max")
}
"""the lowest and the highest rate of any group, named as fairlearn's derived metrics are"""
FOUR_FIFTHS = 0.8
