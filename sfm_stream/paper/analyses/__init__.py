"""Analyses of the paper's networks: their memory, and ablations of their parts."""
