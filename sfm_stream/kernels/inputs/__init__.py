"""Turns a tick into inputs: accepts it, scales it; season, period and helpers."""
