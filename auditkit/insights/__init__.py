"""Insights: what only several disciplines together can say, joined from their finished evidence."""
