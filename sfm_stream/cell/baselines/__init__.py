"""The cells that the paper compares the State-Frequency Memory with."""
