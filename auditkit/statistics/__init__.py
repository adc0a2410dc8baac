"""Intervals, resampling, tests, multiple comparisons. Knows nothing of models."""
