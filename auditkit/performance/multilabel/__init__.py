"""Performance of a model that gives several labels: each by itself, and all labels of a row together."""
