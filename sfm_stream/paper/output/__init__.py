"""The tables and figures of the paper's experiments."""
