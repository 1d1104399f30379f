"""Keep one connection open: connect, watch, replace it, and report lost data."""
