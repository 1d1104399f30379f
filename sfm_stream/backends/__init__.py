"""The backends that compute the stages of a tick: numba, CUDA and torch.

Importing this package loads neither numba nor torch.
"""
