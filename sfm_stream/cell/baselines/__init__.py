"""The baseline cells with which the paper compares the State-Frequency Memory."""
