"""Sweeps: many settings of one model on the same ticks, ranked with intervals."""
