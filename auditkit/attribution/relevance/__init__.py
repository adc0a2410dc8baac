"""Methods that carry relevance backwards layer by layer, by captum, each behind a look at the model's structure."""
