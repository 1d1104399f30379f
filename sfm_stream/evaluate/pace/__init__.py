"""Benchmarks of the engine's pace, compared with torch."""
