"""Drives an engine: the loops, and how a run begins, resumes and is verified."""
