"""Feeds that need no files and no network: generated signals, data sets of River."""
