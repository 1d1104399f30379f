"""Columns of text to numbers and times."""
