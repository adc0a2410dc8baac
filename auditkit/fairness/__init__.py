"""Fairness: rates of decisions by group of people, the gaps between groups, and how sure one can be of either."""
