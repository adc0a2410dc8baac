"""Who is in the data: groups against their shares of the population, and values that are missing, by group."""
