"""Simulations that show whether intervals and verdicts keep what they promise: each returns lines of one table."""
