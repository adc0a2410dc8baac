"""Fairness of individuals: unequal benefits, alike people treated alike, decisions that flip with an attribute."""
