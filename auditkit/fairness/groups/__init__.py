"""Rates of groups and gaps between them, inferred from counts."""
