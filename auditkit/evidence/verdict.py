"""A gate's result and the words of a verdict, as evidence keeps them."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "inconclusive", "missing"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate held against one metric row. `blocking` says whether it fails the audit.

    p_value: of the limit being kept; p_adjusted: the same by Holm over all gates of the policy.
    """

    gate: str
    condition: str
    subject: str
    verdict: Verdict
    blocking: bool
    reason: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    unit: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
