"""Performance: how often the model is right, and whether its confidence can be taken at its word."""
