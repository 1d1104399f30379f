"""The forecasters that ours is compared with."""
