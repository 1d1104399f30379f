"""Runs SFM over a whole sequence, with its gradient: one file per implementation."""
