"""Arithmetic and compilation of machine code with numba.

Importing this package loads no other module.
"""
