"""The data of the paper's tasks: made, read and cut into sequences."""
