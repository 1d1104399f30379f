"""Arithmetic of compiled code, and how it is compiled.

Importing this package loads nothing.
"""
