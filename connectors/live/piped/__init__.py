"""Ticks that another program writes into this one, line by line."""
