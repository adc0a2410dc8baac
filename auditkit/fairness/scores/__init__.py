"""Fairness of scores: ranking, calibration and thresholds, all from rows counted by group, label and score."""
