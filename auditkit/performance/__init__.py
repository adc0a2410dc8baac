"""Performance: how good the model is, and how much of that survives on data it was not trained on."""
