"""Ours and others' forecasters on the same ticks, by the same rules, side by side."""
