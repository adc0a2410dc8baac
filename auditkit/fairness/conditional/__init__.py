"""Fairness among people who are alike in a legitimate factor: common gaps over strata, and Simpson's paradox."""
