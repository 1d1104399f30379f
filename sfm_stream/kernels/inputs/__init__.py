"""From a tick to the inputs: taken in or refused, scaled; season, period, helpers."""
