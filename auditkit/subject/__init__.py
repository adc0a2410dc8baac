"""What is audited: a model, its named splits and the schema that gives their columns a meaning."""
