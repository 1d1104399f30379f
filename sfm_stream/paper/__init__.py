"""The experiments of the paper, as its slides show them."""
