"""Evidence: what an audit found, kept so that it can be checked. Knows nothing of models."""
