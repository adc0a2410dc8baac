"""From tables of predictions to counts, wherever the rows lie; counts that are kept, and given away."""
