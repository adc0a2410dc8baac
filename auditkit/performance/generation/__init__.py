"""What a model makes rather than decides: copies of rows (autoencoders) and rows of its own (generators)."""
