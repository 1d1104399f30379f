"""Our forecaster and others on the same ticks, by the same rules."""
