"""Trains networks on sequences, and stores the results."""
