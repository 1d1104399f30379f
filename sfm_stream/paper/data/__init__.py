"""The data of the paper's tasks: generates, reads and cuts it into sequences."""
