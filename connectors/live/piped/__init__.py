"""A live feed from a pipe, into which another program writes ticks line by line."""
