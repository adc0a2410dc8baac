"""Side by side with peers: ratios within one run, kept with date and hardware under `results/`."""
