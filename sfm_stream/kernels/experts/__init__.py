"""The experts' forecasts: made, joined, given intervals, and taught by their truth."""
