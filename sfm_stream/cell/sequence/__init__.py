"""A whole sequence through a cell, one file per way of computing it."""
