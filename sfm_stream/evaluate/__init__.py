"""Comparisons of our forecaster with others, on the same ticks by the same rules."""
