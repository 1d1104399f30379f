"""Recorded frames: record them, read them again, and serve them like a venue."""
