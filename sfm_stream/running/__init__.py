"""Driving an engine: the loops, and what begins, resumes and checks a run."""
