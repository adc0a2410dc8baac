"""How much of a verdict hangs on labels and groups being right."""
