"""Feeds that need no file and no network."""
