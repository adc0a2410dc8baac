"""A pytest fixture, so that fairness is one more test of a project.

    def test_the_model_is_fair(assert_fair):
        assert_fair(y_true, y_pred, sensitive_features={"sex": sex},
                    policy={"demographic_parity_ratio": {"at_least": 0.8}})

The policy is judged as everywhere: a gate that fails, is missing, or is inconclusive without leave to warn, fails the
test and says why; so does a policy without gates. Installed with auditkit; imports nothing heavy until it is used.
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def assert_fair() -> Callable[..., Any]:
    """Check predictions as `auditkit.check_fairness` does, and fail the test where its policy is not met."""

    def check(*arguments: Any, **settings: Any) -> Any:
        from auditkit.fairness.check import check_fairness
        from auditkit.theme import verdict_label

        found = check_fairness(*arguments, **settings)
        blocking = [result for result in found.results if result.blocking]
        if blocking or not found.results:
            lines = [
                f"{verdict_label(result.verdict)}  {result.gate} {result.condition} of {result.subject}: "
                + result.reason
                for result in blocking
            ]
            pytest.fail("\n".join(lines or ["the policy has no gate, so nothing was checked"]), pytrace=False)
        return found

    return check
