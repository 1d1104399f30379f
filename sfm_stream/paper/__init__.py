"""The experiments of the paper, following its slides."""
