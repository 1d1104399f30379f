"""Feeds from files of rows."""
