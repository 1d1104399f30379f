"""Which column of a table is what, decided from its first rows."""
