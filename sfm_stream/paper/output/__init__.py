"""Writes the tables, figures and page of the paper's experiments."""
