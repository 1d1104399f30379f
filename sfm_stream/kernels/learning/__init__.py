"""What the cell learns: its updates, from new labels and from windows of the past."""
