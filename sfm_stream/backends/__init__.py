"""Who computes the stages of a tick.

Importing this package loads neither numba nor torch.
"""
