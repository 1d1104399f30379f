"""Recorded frames: written, read again, and served as a venue would."""
