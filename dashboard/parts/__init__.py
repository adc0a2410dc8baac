"""The few parts that pages share."""
