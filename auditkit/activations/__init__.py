"""Activations: what the layers do with the data: dead and saturated units, effective rank, a map of the features."""
