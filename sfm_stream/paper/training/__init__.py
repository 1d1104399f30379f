"""Training a network on sequences, and keeping what was found."""
