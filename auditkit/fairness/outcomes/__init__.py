"""Fairness of outcomes other than a yes or no: classes, sets of labels, numbers and rankings."""
