"""Performance of a model that predicts a number: how far off it is, and whether its errors have a direction."""
