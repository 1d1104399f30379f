"""Decide the role of each column of a table from its first rows."""
