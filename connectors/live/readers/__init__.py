"""Processes that read live feeds, and the end that takes what they read."""
