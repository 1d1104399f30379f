"""Convert columns of text to numbers and times."""
