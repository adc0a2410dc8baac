"""Attention as an explanation: which places of a sequence a model looks at, and how the score rests on it."""
