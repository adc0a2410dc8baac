"""Out of distribution: which rows are unlike those the model was fitted on, and which detectors notice."""
