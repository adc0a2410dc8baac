"""Is it believable? Attributions held against what they claim, each figure beside what knows nothing of the model.

curves          what happens to the score when parts go, or come, in the order of the attribution
infidelity      how well attributions foretell what perturbations do
sensitivity     how far an attribution moves between rows that are all but the same
randomisation   whether an attribution notices that the model was replaced
stability       whether a method that draws gives the same twice
agreement       whether two methods say the same
baseline_band   whether the weightiest parts stay so against another baseline
nulls           attributions that know nothing: random, of the input alone, of a random model
quorum          a verdict on a method, from all of it and never from one figure alone
"""
